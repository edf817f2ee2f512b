"""A run as it changes, as server-sent events: state, counts and progress.

An event's id names its content, so a client that comes back with Last-Event-ID misses nothing and hears nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from control_api.actions.context import Context
from control_api.api.access import Ctx
from control_api.store import runs, totals
from schemas.errors import Retriable

router = APIRouter(tags=["runs"])
_EVERY: Final = 0.2
_ALIVE: Final = 10.0


@router.get("/runs/{run}/events")
async def run_events(
    ctx: Ctx, request: Request, run: str, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Until the run has ended. Answers 204 to a client that knows its end already, so that it does not come back."""
    name, _, ended = await run_in_threadpool(_snapshot, ctx, run)
    if ended and name == last_event_id:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _stream(ctx, request, run, last_event_id)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _stream(ctx: Context, request: Request, run: str, known: str | None) -> AsyncIterator[bytes]:
    yield b"retry: 500\n\n"
    spoke = time.monotonic()
    while not await request.is_disconnected():
        try:
            name, body, ended = await run_in_threadpool(_snapshot, ctx, run)
        except Retriable:
            return  # the client comes back by itself, and then hears that the store does not answer
        if name != known:
            known, spoke = name, time.monotonic()
            yield b"event: run\nid: %b\ndata: %b\n\n" % (name.encode(), body)
        if ended:
            return
        if time.monotonic() - spoke > _ALIVE:
            spoke = time.monotonic()
            yield b": alive\n\n"
        await asyncio.sleep(_EVERY)


def _snapshot(ctx: Context, run: str) -> tuple[str, bytes, bool]:
    """(id of the content, the content, whether nothing will change any more)"""
    with ctx.connections() as conn:
        found = runs.get_run(conn, run)
        shown: dict[str, Any] = totals.report(conn, found) | {"progress": totals.progress(conn, found)}
    same = {name: value for name, value in shown.items() if name != "seconds"}
    name = hashlib.sha256(orjson.dumps(same, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return name, orjson.dumps(shown), found.ended_at is not None
