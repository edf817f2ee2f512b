"""Runs: start, pause, resume, stop, look at."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Header, Query, Response

from control_api.actions import runs as actions
from control_api.actions.context import Context
from control_api.api.access import Actor, Ctx
from control_api.api.bodies import Because, Start, Stop
from control_api.api.paging import Cursor, Limit, page
from control_api.store import totals
from control_api.store.runs import Run
from schemas.run import State

router = APIRouter(tags=["runs"])
STATES = get_args(State)


@router.post("/runs", status_code=201)
def start_run(
    ctx: Ctx,
    actor: Actor,
    body: Start,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> dict[str, Any]:
    """Starts a task. The same Idempotency-Key again gives the run that it started.

    Where its files can't have the groups that it asks for, that is the answer, and nothing is started.
    `without_anonymization` takes the permission anonymization.off, which a permit in X-Metal-Permit carries.
    """
    secrets = {name: value.get_secret_value() for name, value in body.secrets.items()}
    off = None if body.without_anonymization is None else body.without_anonymization.asked()
    run = actions.start_run(ctx, actor, body.task, body.version, secrets, idempotency_key, body.file, off)
    response.headers["Location"] = f"/api/v1/runs/{run.run}"
    return _shown(ctx, run)


@router.get("/runs")
def list_runs(
    ctx: Ctx,
    task: str | None = None,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The newest first."""
    found = actions.list_runs(ctx, task, state, limit + 1, cursor)
    return page(found, limit, lambda run: run.run, _brief)


@router.get("/runs/{run}")
def get_run(ctx: Ctx, run: str) -> dict[str, Any]:
    return _shown(ctx, actions.get_run(ctx, run))


@router.post("/runs/{run}/pause")
def pause_run(ctx: Ctx, actor: Actor, run: str, body: Because | None = None) -> dict[str, Any]:
    """Its sources are read no further; what was read goes on."""
    return _shown(ctx, actions.pause_run(ctx, actor, run, body.reason if body else None))


@router.post("/runs/{run}/resume")
def resume_run(ctx: Ctx, actor: Actor, run: str, body: Because | None = None) -> dict[str, Any]:
    return _shown(ctx, actions.resume_run(ctx, actor, run, body.reason if body else None))


@router.post("/runs/{run}/finish")
def finish_run(ctx: Ctx, actor: Actor, run: str, body: Because | None = None) -> dict[str, Any]:
    """A continuous run reads what its sources have and ends prepared, like a snapshot."""
    return _shown(ctx, actions.finish_run(ctx, actor, run, body.reason if body else None))


@router.post("/runs/{run}/stop")
def stop_run(ctx: Ctx, actor: Actor, run: str, body: Stop | None = None) -> dict[str, Any]:
    """Ends it for good; what is under way is dropped where it stands."""
    asked = body or Stop(reason=None)
    return _shown(ctx, actions.stop_run(ctx, actor, run, asked.reason, asked.drop_prepared))


def _shown(ctx: Context, run: Run) -> dict[str, Any]:
    with ctx.connections() as conn:
        return totals.report(conn, run)


def _brief(run: Run) -> dict[str, Any]:
    return {
        "run": run.run,
        "task": run.task,
        "version": run.version,
        "mode": run.mode,
        "state": run.state,
        "reason": run.reason,
        "created_at": run.created_at.isoformat(),
        "prepared_at": None if run.prepared_at is None else run.prepared_at.isoformat(),
        "ended_at": None if run.ended_at is None else run.ended_at.isoformat(),
        "without_anonymization": None if run.waiver is None else run.waiver.told(),
    }
