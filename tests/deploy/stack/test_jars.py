"""Fetching jars: resumed, checked, whole or absent, once for all processes, offline afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.stack import download, jars
from deploy.stack.jars import Jar
from deploy.stack.pin import pin
from schemas.errors import Fatal, Retriable

BODY = os.urandom(700_000)
PATH = "/org/example/thing/1.0/thing-1.0.jar"


def jar(body: bytes = BODY) -> Jar:
    return Jar("org.example:thing:1.0", len(body), hashlib.sha256(body).hexdigest())


@dataclass
class Repository:
    """A repository that can be made to misbehave."""

    files: dict[str, bytes]
    url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    resumes: bool = True
    break_after: int | None = None
    failures: list[int] = field(default_factory=list)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Repository]:
    served = Repository({PATH: BODY})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            served.ranges.append(wanted)
            if served.failures:
                self.send_error(served.failures.pop(0))
                return
            if self.path not in served.files:
                self.send_error(404)
                return
            body, start = served.files[self.path], 0
            if wanted and served.resumes:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if served.break_after is not None:
                body, served.break_after = body[: start + served.break_after], None
            self.wfile.write(body[start:])

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("METAL_JARS_URL", served.url)
    monkeypatch.setenv("METAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0.01)
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def part(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "thing-1.0.jar.part"


def test_a_jar_is_fetched_once_and_then_offline(repository: Repository) -> None:
    seen: list[tuple[int, int]] = []
    (path,) = jars.fetch([jar()], lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    repository.files.clear()
    asked = len(repository.ranges)
    assert jars.fetch([jar()]) == [path]
    assert len(repository.ranges) == asked


def test_a_half_written_download_goes_on_where_it_stopped(repository: Repository, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(BODY[:300_000])
    (path,) = jars.fetch([jar()])
    assert repository.ranges == ["bytes=300000-"]
    assert path.read_bytes() == BODY
    assert not part(tmp_path).exists()


def test_a_half_written_download_from_another_file_is_thrown_away(repository: Repository, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"?" * 300_000)
    (path,) = jars.fetch([jar()])
    assert repository.ranges == ["bytes=300000-", None]
    assert path.read_bytes() == BODY


def test_a_download_larger_than_the_list_says_is_thrown_away(repository: Repository, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"?" * 900_000)
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY


def test_a_broken_connection_is_resumed(repository: Repository) -> None:
    repository.break_after = 100_000
    (path,) = jars.fetch([jar()])
    assert repository.ranges == [None, "bytes=100000-"]
    assert path.read_bytes() == BODY


def test_a_server_that_cannot_resume_sends_all_again(repository: Repository, tmp_path: Path) -> None:
    repository.resumes = False
    part(tmp_path).write_bytes(BODY[:300_000])
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY


def test_a_server_in_trouble_is_asked_again(repository: Repository) -> None:
    repository.failures = [503, 429]
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY


def test_a_server_that_stays_in_trouble(repository: Repository) -> None:
    repository.failures = [503] * 10
    with pytest.raises(Retriable, match="503"):
        jars.fetch([jar()])


def test_a_corrupt_jar_never_gets_its_name(repository: Repository, tmp_path: Path) -> None:
    repository.files[PATH] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(Fatal, match="has SHA-256"):
        jars.fetch([jar()])
    assert [path.name for path in (tmp_path / "cache" / "jars").iterdir()] == [".lock"]
    repository.files[PATH] = BODY
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY


def test_a_jar_that_is_too_large_is_refused(repository: Repository) -> None:
    repository.files[PATH] = BODY + b"more"
    with pytest.raises(Fatal, match="larger than"):
        jars.fetch([jar()])


def test_a_wrong_base_url(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_JARS_URL", repository.url + "/elsewhere")
    with pytest.raises(Fatal, match=r"404.*METAL_JARS_URL"):
        jars.fetch([jar()])
    monkeypatch.setenv("METAL_JARS_URL", "ftp://127.0.0.1")
    with pytest.raises(Fatal, match="must begin with"):
        jars.fetch([jar()])


def test_a_folder_as_repository(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored = tmp_path / "repository" / PATH.lstrip("/")
    stored.parent.mkdir(parents=True)
    stored.write_bytes(BODY)
    part(tmp_path).write_bytes(BODY[:300_000])
    monkeypatch.setenv("METAL_JARS_URL", (tmp_path / "repository").as_uri())
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY
    stored.unlink()
    path.unlink()
    with pytest.raises(Fatal, match="does not exist"):
        jars.fetch([jar()])


def test_two_processes_fetch_it_once(repository: Repository, tmp_path: Path) -> None:
    wanted = jar()
    script = (
        "from deploy.stack import jars; "
        f"print(jars.fetch([jars.Jar({wanted.artifact!r}, {wanted.size}, {wanted.sha256!r})])[0])"
    )
    started = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = {each.communicate(timeout=30)[0].strip() for each in started}
    assert told == {str(tmp_path / "cache" / "jars" / "thing-1.0.jar")}
    assert len(repository.ranges) == 1


def test_a_full_disk_is_named_and_leaves_no_part(repository: Repository, tmp_path: Path) -> None:
    part(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(Fatal, match=r"no space left.*thing-1\.0\.jar.*METAL_CACHE"):
            jars.fetch([jar()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not part(tmp_path).exists()
    (path,) = jars.fetch([jar()])
    assert path.read_bytes() == BODY


def test_the_committed_list_is_pinned_and_unique() -> None:
    for group in ("kafka", "s3"):
        listed = jars.listed(group)
        assert len({each.name for each in listed}) == len(listed) > 0
        assert all(len(bytes.fromhex(each.sha256)) == 32 and each.size > 0 for each in listed)
    assert "org.apache.kafka:kafka_2.13:4.1.2" in {each.artifact for each in jars.listed("kafka")}


def test_the_pin_tool_writes_what_the_list_holds(tmp_path: Path) -> None:
    for path in (PATH, "/org/example/thing/1.0/thing-1.0-all.jar"):
        stored = tmp_path / path.lstrip("/")
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(BODY)
    assert {entry["artifact"] for entry in pin(tmp_path)} == {"org.example:thing:1.0", "org.example:thing:1.0:all"}
    made = Jar(**{"artifact": "", "size": 0, "sha256": "", **pin(tmp_path)[0]})  # type: ignore[arg-type] # the JSON's values
    assert f"/{made.path}" in {PATH, "/org/example/thing/1.0/thing-1.0-all.jar"}
    assert json.loads(json.dumps(pin(tmp_path)))
