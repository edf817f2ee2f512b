"""Errors as RFC 9457 problem documents. What went wrong inside is logged, not shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from schemas.errors import Conflict, Denied, Fatal, InvalidInput, MetalError, NotFound, Retriable

log = structlog.get_logger()

KINDS: Final[Mapping[type[MetalError], tuple[int, str]]] = {
    InvalidInput: (400, "invalid-input"),
    Denied: (403, "denied"),
    NotFound: (404, "not-found"),
    Conflict: (409, "conflict"),
    Retriable: (503, "unavailable"),
    Fatal: (500, "failed"),
}
_NAMES: Final = {400: "invalid-input", 401: "unauthenticated", 404: "not-found", 405: "method-not-allowed"}
_NAMES_MORE: Final = {412: "precondition-failed", 413: "too-large", 415: "unsupported-media-type"}


class Precondition(MetalError):
    """The caller named a state of the resource that is not the present one."""


def problem(status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:
    body = {"type": f"urn:metal:{kind}", "title": kind.replace("-", " "), "status": status, "detail": detail}
    return JSONResponse(body | more, status, dict(headers or {}), "application/problem+json")


def install(app: FastAPI) -> None:
    """Answers every error of the app with a problem document."""
    app.add_exception_handler(MetalError, _metal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _metal(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Precondition):
        return problem(412, "precondition-failed", str(error))
    known = ((status, kind) for cls, (status, kind) in KINDS.items() if isinstance(error, cls))
    status, kind = next(known, (500, "failed"))
    more: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        more["mistakes"] = [mistake_json(mistake) for mistake in error.mistakes]
    headers = {"Retry-After": "1"} if status == 503 else {}
    return problem(status, kind, str(error), headers, **more)


def mistake_json(mistake: Any) -> dict[str, Any]:
    return {
        "file": mistake.file,
        "line": mistake.line,
        "path": mistake.path,
        "wrong": mistake.wrong,
        "right": mistake.right,
        "severity": mistake.severity,
    }


def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Says where and what, never the value: it may be a secret."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    mistakes = [
        {
            "file": "(request)",
            "line": 1,
            "path": ".".join(map(str, one["loc"])),
            "wrong": one["msg"],
            "right": "see /openapi.json",
            "severity": "error",
        }
        for one in found
    ]
    said = "; ".join(f"{one['path']}: {one['wrong']}" for one in mistakes)
    return problem(400, "invalid-input", said, mistakes=mistakes)


def _http(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = (_NAMES | _NAMES_MORE).get(error.status_code, "refused")
    return problem(error.status_code, kind, str(error.detail), error.headers)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("a request failed unexpectedly", path=request.url.path, kind=type(error).__name__, exc_info=error)
    return problem(500, "failed", "something unexpected went wrong; the log of the API says what")
