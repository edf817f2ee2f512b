"""Bring one file of known size here, going on where an earlier try stopped.

Always: the part file holds a prefix of what was sent; when the disk is full it is removed, so that space is free.
Must not know: what the file is, and whether its content is right (its caller checks the digest).
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from deploy.stack.layout import NO_SPACE
from schemas.errors import Fatal, Retriable

CHUNK = 1 << 18
TRIES = 4
TIMEOUT = 60.0
PAUSE = 0.5


def download(url: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
    """Complete `part` to `size` bytes; several tries, each going on where the last one stopped."""
    if not url.startswith(("http://", "https://", "file://")):
        raise Fatal(f"{url} can't be fetched: METAL_JARS_URL must begin with http://, https:// or file://")
    for tried in range(TRIES):
        try:
            _continue(url, part, size, advance)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500 and error.code not in {408, 416, 429}:
                raise Fatal(f"{url} answers {error.code} {error.reason}; check METAL_JARS_URL") from error
            failure: Exception = error
            if error.code == 416:
                part.unlink(missing_ok=True)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if isinstance(getattr(error, "reason", None), FileNotFoundError):
                raise Fatal(f"{url} does not exist; check METAL_JARS_URL") from error
            failure = error
        except OSError as error:
            if error.errno in NO_SPACE:
                part.unlink(missing_ok=True)
                raise Fatal(
                    f"no space left in {part.parent} for {part.stem} ({size} bytes); "
                    "make room or set METAL_CACHE elsewhere"
                ) from error
            raise
        else:
            return
        time.sleep(PAUSE * 2**tried)
    raise Retriable(f"{url} can't be fetched: {failure}; what has come is kept, so try again") from failure


def _continue(url: str, part: Path, size: int, advance: Callable[[int], None]) -> None:
    at = part.stat().st_size if part.exists() else 0
    if at > size:
        part.unlink()
        at = 0
    if at == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "metal-etl"})  # noqa: S310 - checked above
    local = url.startswith("file://")
    if at and not local:
        request.add_header("Range", f"bytes={at}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - checked above
        if at and not local and answer.status != http.client.PARTIAL_CONTENT:
            at = 0  # the server does not resume
        if at and local:
            answer.read(at)
        with part.open("r+b" if at else "wb") as file:
            file.seek(at)
            file.truncate()
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                at += len(chunk)
                advance(at)
                if at > size:
                    break
    if at < size:
        raise http.client.IncompleteRead(b"", size - at)
    if at > size:
        part.unlink()
        raise Fatal(f"{url} is larger than the {size} bytes of the list; check METAL_JARS_URL")
