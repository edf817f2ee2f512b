"""Single prepared records and pages of them, as typed JSON: for people who look at them, not for bulk (see export).

Exact where JSON is not: decimals, dates and timestamps (UTC) are texts, bytes are base64, and numbers that aren't
finite are "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import math
from typing import Any

from psycopg import sql
from psycopg.rows import tuple_row

from control_api.store.db import Connection
from control_api.store.outbox import IDENTITY, OWN_COLUMNS, TablePlan, plan_of, table_of
from control_api.store.provenance import changes_of, source_name
from schemas.columns import ColumnType
from schemas.errors import NotFound

_FORMS: dict[ColumnType, str] = {
    "decimal": "{}::text",
    "date": "{}::text",
    "timestamp": "({} AT TIME ZONE 'UTC')::text",
    "binary": "translate(encode({}, 'base64'), E'\\n', '')",
}


def page(
    conn: Connection, run: str, table: str, limit: int, cursor: int | None = None, provenance: bool = False
) -> list[dict[str, Any]]:
    """Records in the order of their identity, those behind `cursor`; each with its `_id`."""
    plan = plan_of(conn, run, table)
    behind = sql.SQL("") if cursor is None else sql.SQL(" WHERE _id > {}").format(sql.Literal(cursor))
    tail = sql.SQL("{} ORDER BY _id LIMIT {}").format(behind, sql.Literal(limit))
    return _records(conn, run, table, plan, tail, provenance)


def record(conn: Connection, run: str, table: str, identity: int) -> dict[str, Any]:
    """One record, with where it comes from."""
    plan = plan_of(conn, run, table)
    tail = sql.SQL(" WHERE _id = {}").format(sql.Literal(identity))
    found = _records(conn, run, table, plan, tail, True)
    if not found:
        raise NotFound(f"table {table} of run {run} has no record {identity}")
    return found[0]


def _records(
    conn: Connection, run: str, table: str, plan: TablePlan, tail: sql.Composable, provenance: bool
) -> list[dict[str, Any]]:
    own = [sql.Identifier(name) for name in OWN_COLUMNS]
    declared = [sql.SQL(_FORMS.get(kind, "{}")).format(sql.Identifier(name)) for name, kind in plan.columns.items()]
    query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join([*own, *declared]), table_of(run, table)) + tail
    with conn.cursor(row_factory=tuple_row) as rows:
        rows.execute(query)
        return [_shown(row, run, plan, provenance) for row in rows]


def _shown(row: tuple[Any, ...], run: str, plan: TablePlan, provenance: bool) -> dict[str, Any]:
    identity, version, source, changes, *values = row
    shown: dict[str, Any] = {IDENTITY: identity}
    if provenance:
        shown |= {
            "_run": run,
            "_version": version,
            "_source": source_name(plan, source),
            "_changes": changes_of(plan, changes),
        }
    typed = zip(plan.columns.items(), values, strict=True)
    return shown | {name: _plain(kind, value) for (name, kind), value in typed}


def _plain(kind: ColumnType, value: Any) -> Any:
    if kind == "float64" and value is not None and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if kind == "timestamp" and value is not None and not value.endswith(" BC"):
        return value.replace(" ", "T") + "Z"
    return value
