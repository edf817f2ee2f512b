"""What a run has prepared: its tables, their records, whole tables as files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from control_api.actions import releases
from control_api.actions.waivers import open_rows
from control_api.api.access import Actor, Ctx
from control_api.api.paging import Cursor, Limit, page
from control_api.store import audit, outbox, outbox_rows
from control_api.store.db import Connection
from control_api.store.outbox_export import MEDIA_TYPES, Format
from control_api.store.runs import get_run
from schemas.errors import InvalidInput, Mistake

router = APIRouter(tags=["outbox"])


@router.get("/runs/{run}/outbox")
def list_tables(ctx: Ctx, run: str) -> dict[str, Any]:
    """Its tables: their columns, and how many records stand in each."""
    with ctx.connections() as conn:
        state = get_run(conn, run).state
        prepared = outbox.prepared(conn, run)
        found = [
            {
                "table": table,
                "records": prepared[table],
                "columns": plan.columns,
                "sources": plan.sources,
            }
            for table, plan in outbox.plans_of(conn, run).items()
        ]
    return {"run": run, "state": state, "tables": found}


@router.get("/runs/{run}/outbox/{table}")
def list_records(
    ctx: Ctx,
    actor: Actor,
    run: str,
    table: str,
    limit: Limit = 50,
    cursor: Cursor = None,
    provenance: bool = False,
) -> dict[str, Any]:
    """Records in the order of their identity. Where they are not anonymized that takes a permit, and is audited."""
    behind = _identity(cursor)
    raw = open_rows(ctx, actor, run, table, "showing")
    with ctx.connections() as conn:
        found = outbox_rows.page(conn, run, table, limit + 1, behind, provenance)
        _note_shown(conn, actor, run, table, raw)
    return page(found, limit, lambda record: str(record[outbox.IDENTITY]), lambda record: record)


@router.get("/runs/{run}/outbox/{table}/records/{identity}")
def get_record(ctx: Ctx, actor: Actor, run: str, table: str, identity: int) -> dict[str, Any]:
    """One record, with its source and the rules that changed it."""
    raw = open_rows(ctx, actor, run, table, "showing")
    with ctx.connections() as conn:
        found = outbox_rows.record(conn, run, table, identity)
        _note_shown(conn, actor, run, table, raw)
    return found


@router.get("/runs/{run}/outbox/{table}/export")
def export_table(
    ctx: Ctx,
    actor: Actor,
    run: str,
    table: str,
    form: Annotated[Format, Query(alias="format")] = "jsonl",
    provenance: bool = False,
) -> StreamingResponse:
    """The whole table as a file. Refused (409) where comparing it with an earlier export would tell on someone."""
    pieces = releases.release(ctx, actor, run, table, form, provenance)
    name = f'attachment; filename="{table}.{form}"'
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[form], headers={"Content-Disposition": name})


@router.get("/runs/{run}/outbox/{table}/check")
def check_table(ctx: Ctx, run: str, table: str, provenance: bool = False) -> dict[str, Any]:
    """Whether the table may leave, next to everything that left before; what comparing them tells, by its kind."""
    return releases.check(ctx, run, table, provenance)


@router.get("/runs/{run}/releases")
def list_releases(ctx: Ctx, run: str) -> dict[str, Any]:
    """What left the review store of the run's task, and is compared with what is to leave."""
    return {"run": run, "releases": [vars(one) for one in releases.list_releases(ctx, run)]}


def _note_shown(conn: Connection, actor: str, run: str, table: str, raw: dict[str, Any]) -> None:
    if raw:
        audit.record(conn, actor, "outbox.shown", run, {"table": table} | raw)


def _identity(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        found = int(cursor)
    except ValueError:
        found = 2**63
    if not -(2**63) <= found < 2**63:
        raise InvalidInput([Mistake("(request)", 1, "cursor", "is not one of ours", "take `next` of the page before")])
    return found
