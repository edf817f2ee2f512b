"""The control API as commands use it: its problems come back as the errors that caused them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

from control_api.token import read_token
from deploy.stack.endpoints import endpoints
from deploy.stack.layout import home
from schemas.errors import Conflict, Denied, Fatal, InvalidInput, Mistake, NotFound, Retriable

_SECONDS: Final = 60.0
_LONG: Final = httpx.Timeout(_SECONDS, read=1800.0)  # what is compared with earlier exports before it answers
_ERRORS: Final = {
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    413: Conflict,
    502: Retriable,
    503: Retriable,
    504: Retriable,
}


class Client:
    """One connection to the API of this home, or to the one that METAL_API names; it goes by `permit`, if given."""

    def __init__(self, url: str | None = None, token: str | None = None, permit: str | None = None) -> None:
        address = url or os.environ.get("METAL_API") or endpoints().api  # the first two need no stack here
        if address is None:
            raise Retriable(f"no API is running in {home()}; run 'metal up', or set METAL_API")
        self.address = address.rstrip("/")
        token = token or read_token()
        headers = {"X-Metal-Actor": me(), "User-Agent": "metal"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if permit:
            headers["X-Metal-Permit"] = permit
        self._http = httpx.Client(base_url=f"{self.address}/api/v1", headers=headers, timeout=_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, *, long: bool = False, **query: Any) -> Any:
        """`long`: the answer may take minutes."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", path, params=given, timeout=_LONG if long else _SECONDS)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return self._ask("POST", path, json=body, headers=headers)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def pages(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = min(200, left or 200)
            found = self.get(path, limit=size, cursor=cursor, **query)
            yield from found["items"]
            left = None if left is None else left - len(found["items"])
            cursor = found["next"]
            if cursor is None:
                return

    def events(self, path: str) -> Iterator[dict[str, Any]]:
        """Server-sent events; taken up again where they broke off, as long as the API comes back."""
        known: str | None = None
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": known} if known else {})
            with self._reached(), self._http.stream("GET", path, headers=headers, timeout=_SECONDS) as response:
                if response.status_code == 204:
                    return
                _check(response)
                for line in response.iter_lines():
                    if line.startswith("id: "):
                        known = line.removeprefix("id: ")
                    elif line.startswith("data: "):
                        yield orjson.loads(line.removeprefix("data: "))

    def download(self, path: str, **query: Any) -> Iterator[bytes]:
        """A file, in pieces."""
        given = {name: value for name, value in query.items() if value is not None}
        with self._reached(), self._http.stream("GET", path, params=given, timeout=_LONG) as response:
            _check(response)
            yield from response.iter_bytes()

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        with self._reached():
            response = self._http.request(method, path, **more)
        _check(response)
        return orjson.loads(response.content) if response.content else None

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise Retriable(
                f"the API at {self.address} can't be reached: {why}; is it running? see: metal status"
            ) from error


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        problem = {}
    said = str(problem.get("detail") or f"the API answered {response.status_code}")
    if response.status_code == 400:
        given = problem.get("mistakes") or []
        raise InvalidInput([Mistake(**one) for one in given] or [Mistake("(request)", 1, "", said, "see --help")])
    raise _ERRORS.get(response.status_code, Fatal)(said)


def me() -> str:
    """The name that the audit log gives to who runs this."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
    return "".join(char if char.isascii() and (char.isalnum() or char in "._@+-") else "_" for char in name)[:64]
