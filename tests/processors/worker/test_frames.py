"""What a connection reads is what was sent, however it was cut; and aiokafka's connection stands on it, TLS too."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiokafka
import pytest
import uvloop
from aiokafka import client
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchResponse_v4
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from processors.worker import frames
from processors.worker.frames import LARGEST, FrameConnection, Frames

VERSIONS, FETCH = 18, 1
RECORDS = bytes(range(256)) * 12_000


class Behind(asyncio.StreamReaderProtocol):
    """What aiokafka has given its connection."""

    def __init__(self) -> None:
        self.lost: list[Exception | None] = []

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    def __del__(self) -> None:
        """Nothing was begun."""


def feed(protocol: Frames, data: bytes, most: int = 1 << 16) -> None:
    """As a transport does: into the buffer that it is given, as much as came and as fits."""
    while data:
        into = protocol.get_buffer(-1)
        size = min(len(into), len(data), most)
        into[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(body)) + body for body in bodies)


async def read(protocol: Frames) -> bytes:
    (size,) = struct.unpack(">i", await protocol.readexactly(4))
    return await protocol.readexactly(size)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1), st.integers(1, 300))
def test_however_it_is_cut_what_comes_is_what_was_sent(bodies: list[bytes], most: int) -> None:
    async def check() -> list[bytes]:
        protocol = Frames(Behind())
        reading = asyncio.gather(*[read(protocol) for _ in bodies[:1]])
        await asyncio.sleep(0)  # it waits before anything came
        feed(protocol, framed(*bodies), most)
        return [*await reading, *[await read(protocol) for _ in bodies[1:]]]

    assert asyncio.run(check()) == bodies


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_response_is_in_memory_once(runner: Callable[[Coroutine[Any, Any, int]], int]) -> None:
    """Of a real socket, whose transport holds the buffer while it tells that it is filled."""
    size = 64 << 20

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack(">i", size))
        for _ in range(64):
            writer.write(bytes(1 << 20))
            await writer.drain()
        writer.close()

    async def receive() -> int:
        server = await asyncio.start_server(answer, "127.0.0.1")
        protocol = Frames(Behind())
        tracemalloc.start()
        try:
            await asyncio.get_running_loop().create_connection(lambda: protocol, *server.sockets[0].getsockname())
            assert len(await read(protocol)) == size
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            server.close()

    assert runner(receive()) < size * 1.5


@pytest.mark.parametrize("size", [-1, 0, LARGEST + 1])
def test_a_length_that_no_response_has_ends_the_connection_before_memory_is_taken_for_it(size: int) -> None:
    with pytest.raises(ConnectionError, match=f"a response of {size:,} bytes; {LARGEST:,} are the most"):
        feed(Frames(Behind()), struct.pack(">i", size))


@pytest.mark.parametrize("reason", [None, ConnectionResetError("gone")])
def test_what_came_before_the_end_is_read_and_then_the_end_is_told(reason: Exception | None) -> None:
    async def check() -> None:
        behind = Behind()
        protocol = Frames(behind)
        feed(protocol, framed(b"whole", b"cut off")[:-3])
        protocol.connection_lost(reason)
        assert behind.lost == [reason]
        assert not protocol.at_eof()
        assert await read(protocol) == b"whole"
        await protocol.readexactly(4)
        assert protocol.at_eof()
        with pytest.raises(type(reason) if reason else asyncio.IncompleteReadError):
            await protocol.readexactly(7)

    asyncio.run(check())


def test_who_waits_when_the_connection_ends_is_told() -> None:
    async def check() -> None:
        protocol = Frames(Behind())
        reading = asyncio.ensure_future(protocol.readexactly(4))
        await asyncio.sleep(0)
        protocol.connection_lost(None)
        with pytest.raises(asyncio.IncompleteReadError):
            await reading

    asyncio.run(check())


def test_a_reader_that_asks_for_something_else_is_refused() -> None:
    async def check() -> None:
        protocol = Frames(Behind())
        feed(protocol, framed(b"body"))
        with pytest.raises(ConnectionError, match="reads 5 bytes of a connection where 4 are due"):
            await protocol.readexactly(5)

    asyncio.run(check())


# aiokafka's own connection, to a server that knows two requests.


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server, and of who trusts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(hours=1))
        .add_extension(alternative, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    return serving, ssl.create_default_context(cafile=str(pem))


async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers what it knows, then a fetch from offset 0 with records; any other it breaks off in the middle."""
    while True:
        try:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
        except asyncio.IncompleteReadError:
            break
        request = await reader.readexactly(size)
        key, _, number = struct.unpack_from(">hhi", request)
        if key == VERSIONS:
            writer.write(framed(struct.pack(">ihihhhhhh", number, 0, 2, VERSIONS, 0, 0, FETCH, 4, 4)))
            continue
        from_start = struct.pack(">q", 0) in request[-12:]
        answer = FetchResponse_v4(0, [("topic", [(0, 0, 9, 9, [], RECORDS)])]).encode()
        whole = framed(struct.pack(">i", number) + answer)
        writer.write(whole if from_start else whole[: len(whole) // 2])
        if not from_start:
            break
    writer.close()


@asynccontextmanager
async def connected(folder: Path, secure: bool) -> AsyncIterator[FrameConnection]:
    serving, trusting = certificate(folder) if secure else (None, None)
    server = await asyncio.start_server(broker, "localhost", 0, ssl=serving)
    port = server.sockets[0].getsockname()[1]
    try:
        connection = await frames.create_conn(
            "localhost", port, ssl_context=trusting, security_protocol="SSL" if secure else "PLAINTEXT"
        )
        yield connection
        await connection.close()
    finally:
        server.close()


def fetch(offset: int) -> FetchRequest:
    return FetchRequest(100, 1, 1 << 20, 0, [("topic", [(0, offset, 1 << 20)])])


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_fetches_come_whole_and_a_response_that_is_broken_off_is_an_error(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None], secure: bool
) -> None:
    async def check() -> None:
        async with connected(tmp_path, secure) as connection:
            for _ in range(3):
                answer = await connection.send(fetch(0))
                assert answer.topics == [("topic", [(0, 0, 9, 9, [], RECORDS)])]
            assert connection.connected()
            with pytest.raises(KafkaConnectionError):
                await connection.send(fetch(1))
            assert not connection.connected()

    run(check())


def test_it_stands_where_aiokafka_still_looks() -> None:
    """A release that connects in another way would leave the adapter out, without a word."""
    assert aiokafka.__version__ == "0.14.0"
    assert "create_conn" in client.AIOKafkaClient._get_conn.__code__.co_names
    assert "create_conn" in client.AIOKafkaClient.bootstrap.__code__.co_names
