"""Whether the API lives, can work, and what it counts. Needs no token, tells nothing of any run."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from control_api.api.access import Ctx
from control_api.store import health
from schemas.errors import Retriable

router = APIRouter(tags=["health"], include_in_schema=False)
public = True


@router.get("/healthz")
def healthz() -> dict[str, str]:
    return {"state": "ok"}


@router.get("/ready")
def ready(ctx: Ctx) -> JSONResponse:
    """False while the control store does not answer or the relay is stuck."""
    try:
        with ctx.connections() as conn:
            behind = health.relay_behind(conn)
    except Retriable as error:
        return JSONResponse({"ready": False, "why": str(error)}, 503)
    if behind > health.STUCK_SECONDS:
        why = f"events have been waiting for the broker for {behind:.0f} s"
        return JSONResponse({"ready": False, "why": why}, 503)
    return JSONResponse({"ready": True, "why": ""})


@router.get("/metrics")
def metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
