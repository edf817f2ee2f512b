"""An object of an S3 store, read in ranges of one version of it.

Always holds: every range is of the version that was listed; an object that changed since is an error.
"""

from __future__ import annotations

import io
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from schemas.errors import Fatal, MetalError, Retriable

_CHANGED = ("PreconditionFailed", "412")
_BUSY = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "503")


class ObjectInput:
    """Bytes of an object; each reading is a request, so readings are large."""

    at_hand = False

    def __init__(self, client: Any, bucket: str, key: str, etag: str, size: int) -> None:
        self.label = key
        self._client = client
        self._where = {"Bucket": bucket, "Key": key, "IfMatch": etag}
        self._size = size

    def read(self, offset: int, size: int) -> bytes:
        last = min(offset + size, self._size) - 1
        if last < offset:
            return b""
        try:
            body = self._client.get_object(**self._where, Range=f"bytes={offset}-{last}")["Body"]
            data: bytes = body.read()
        except (ClientError, BotoCoreError) as error:
            raise failure(error, self.label) from None
        return data

    def close(self) -> None:
        """Nothing is held between requests."""


class ObjectFile(io.RawIOBase):
    """The same as a file that can be sought in."""

    def __init__(self, source: ObjectInput, size: int) -> None:
        super().__init__()
        self._source = source
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def failure(error: ClientError | BotoCoreError, what: str) -> MetalError:
    """What to do about an error of the store. Its own text is left out: it can show the request."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ParamValidationError):
        return Fatal(f"{what} cannot be read: {type(error).__name__}")
    if not isinstance(error, ClientError):
        return Retriable(f"{what} cannot be read: the object store does not answer")
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    if code in _CHANGED:
        return Fatal(f"{what} changed since it was listed")
    if code in _BUSY:
        return Retriable(f"{what} cannot be read: the object store answers {code}")
    return Fatal(f"{what} cannot be read: the object store answers {code}")
