"""What aiokafka reads of a broker, received where it stays: a response goes from the socket into its own object.

asyncio's reader makes an object of every piece, grows an array by it and cuts the response out of that (see
docs/adr/0004). Here a connection keeps aiokafka's reader loop, its order and its errors; what is replaced is the object
that it reads from. What is received was asked for, so what waits is bounded: a connection has one fetch on its way.
Must not know: what a response says.
"""

from __future__ import annotations

import asyncio
import io
import struct
from collections import deque
from typing import Any, Final, cast

from aiokafka import client
from aiokafka.conn import AIOKafkaConnection

LARGEST: Final = 256 << 20  # of a response; a fetch asks for 50 MB, and gets a message more at most

_LENGTH: Final = struct.Struct(">i")


class Frames(asyncio.BufferedProtocol):
    """A connection's protocol, and its reader: hands on lengths and bodies in turn, as `readexactly` asks for them."""

    def __init__(self, behind: asyncio.StreamReaderProtocol) -> None:
        self._behind = behind  # waits for the connection's end, and for room to write
        self._pieces: deque[io.BytesIO] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._length = True  # whether what is received now is a body's length
        self._into, self._room = _room(_LENGTH.size)
        self._at = 0

    # What a transport calls.

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        self._at += nbytes
        if self._at < len(self._room):
            return
        self._room.release()
        received = self._into
        size = int(_LENGTH.unpack(received.getvalue())[0]) if self._length else _LENGTH.size
        if not 0 < size <= LARGEST:
            raise ConnectionError(f"the broker announces a response of {size:,} bytes; {LARGEST:,} are the most")
        self._length = not self._length
        self._into, self._room = _room(size)
        self._at = 0
        self._pieces.append(received)
        self._wake()

    def pause_writing(self) -> None:
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        self._behind.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc or asyncio.IncompleteReadError(bytes(self._room[: self._at]), len(self._room))
        self._wake()
        self._behind.connection_lost(exc)

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # What aiokafka calls.

    async def readexactly(self, size: int) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        # Only now: while the transport still holds the view that it was given, this would be a copy.
        piece = self._pieces.popleft().getvalue()
        if len(piece) != size:
            raise ConnectionError(f"aiokafka reads {size:,} bytes of a connection where {len(piece):,} are due")
        return piece

    def at_eof(self) -> bool:
        return self._error is not None and not self._pieces


def _room(size: int) -> tuple[io.BytesIO, memoryview]:
    """Bytes to be, and where they are received: `getvalue` gives them uncopied once all views of them are released."""
    into = io.BytesIO()
    into.seek(size - 1)
    into.write(b"\0")
    return into, into.getbuffer()


class FrameConnection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka tells no types
    """aiokafka's, with its responses received where they stay."""

    def _create_reader_task(self) -> Any:
        """The first that aiokafka does with a connection: nothing was sent over it yet, and so nothing received."""
        transport = cast(asyncio.Transport, self._writer.transport)
        self._reader = Frames(self._protocol)
        transport.pause_reading()
        transport.set_protocol(self._reader)
        transport.resume_reading()
        return super()._create_reader_task()


async def create_conn(*given: Any, **named: Any) -> FrameConnection:
    connection = FrameConnection(*given, **named)
    await connection.connect()
    return connection


def install() -> None:
    """From now on, aiokafka's clients in this process connect so. They are given no other way to choose one."""
    cast(Any, client).create_conn = create_conn
