"""Runs whose anonymization is turned off: started, and their rows looked at, by those alone who hold the permission.

What always holds: the tables, who, why and until when stand in the run's waiver and in the audit log, in the
transaction that makes the run. Rows of such tables are given to nobody without an entry that says so, and to nobody
after their time.
"""

from __future__ import annotations

from typing import Any

from control_api.actions.context import Context, wrong
from control_api.actions.permissions import require
from control_api.store import audit, waivers
from control_api.store.db import Connection
from control_api.store.runs import get_run
from schemas.errors import Conflict
from schemas.permissions import ANONYMIZATION_OFF
from schemas.task.model import Task
from schemas.waiver import MOST_HOURS, Asked, anonymized_tables


def permitted(ctx: Context, actor: str, task: str, asked: Asked) -> str:
    """The holder of the permission to start such a run; what is asked has to make sense by itself."""
    holder = require(ctx, actor, ANONYMIZATION_OFF, task, "starting a run without anonymization")
    if not asked.reason.strip():
        raise _mistake("reason", "there is none", "say why; it stands in the audit log and in certificates")
    if not 0 < asked.hours <= MOST_HOURS:
        raise _mistake("hours", f"{asked.hours:g} is not that", f"give a number above 0 and up to {MOST_HOURS:g}")
    return holder


def waived_tables(task: Task, asked: Asked) -> tuple[str, ...]:
    """The tables whose methods are left out, in the task's order."""
    declared = anonymized_tables(task)
    right = f"tables that are anonymized are {', '.join(declared)}" if declared else "start the run as it is"
    if not declared:
        raise _mistake("tables", f"task {task.task!r} anonymizes nothing", right)
    for name in asked.tables:
        if name not in task.tables:
            raise _mistake("tables", f"task {task.task!r} has no table {name!r}", right)
        if name not in declared:
            raise _mistake("tables", f"table {name!r} declares no method, so there is nothing to turn off", right)
    return tuple(name for name in declared if not asked.tables or name in asked.tables)


def keep(conn: Connection, actor: str, run: str, tables: tuple[str, ...], holder: str, asked: Asked) -> None:
    """In the transaction that makes the run."""
    waivers.put(conn, run, tables, actor, holder, asked.reason.strip(), asked.hours)


def note(conn: Connection, actor: str, run: str) -> None:
    """The audit entry of a start with a waiver, beside that of the start; the log is locked last."""
    waiver = get_run(conn, run).waiver
    if waiver is not None:
        told = waiver.told()
        detail = {name: told[name] for name in ("tables", "permit", "reason", "until")}
        audit.record(conn, actor, "anonymization.off", run, detail)


def open_rows(ctx: Context, actor: str, run: str, table: str, doing: str) -> dict[str, Any]:
    """Before rows are given out: what their audit entry says beside; empty of a table that is anonymized.

    Raises `Denied` where the caller may not see them, and `Conflict` where nobody may any more.
    """
    with ctx.connections() as conn:
        waiver = get_run(conn, run).waiver
        late = waivers.over(conn, run)
    if waiver is None or table not in waiver.tables:
        return {}
    holder = require(ctx, actor, ANONYMIZATION_OFF, run, f"{doing} table {table}, which is not anonymized,")
    if late:
        raise Conflict(f"rows of run {run} were kept until {waiver.until:%Y-%m-%d %H:%M:%SZ} and are deleted")
    return {"anonymized": False, "permit": holder}


def _mistake(field: str, what: str, right: str) -> Exception:
    return wrong(f"without_anonymization.{field}", what, right)
