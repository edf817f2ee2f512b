"""A run with prepared rows of every type, and one with dead letters."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import polars as pl

from connectors.review.rows import append
from control_api.store import lanes
from control_api.store.db import Connection
from control_api.store.keys import get_key
from control_api.store.outbox import TablePlan, create_tables
from schemas import batch
from schemas.columns import polars_type
from schemas.sealing import seal

PLAN = TablePlan(
    {
        "s": "string",
        "i": "int64",
        "f": "float64",
        "n": "decimal",
        "b": "bool",
        "d": "date",
        "t": "timestamp",
        "y": "binary",
        "j": "json",
    },
    [("s", "normalize"), ("f", "range")],
    ["crm", "erp"],
)
AT = datetime(2024, 2, 29, 23, 59, 59, 123456, UTC)
ROWS: list[dict[str, Any]] = [
    {
        "s": 'a,"b"\r\nc',
        "i": 2**63 - 1,
        "f": 0.1,
        "n": Decimal("12345678901234567890.123456789"),
        "b": True,
        "d": date(2024, 2, 29),
        "t": AT,
        "y": b"\0\xff",
        "j": '{"a": 1}',
    },
    {"s": "", "i": -(2**63), "f": float("inf"), "n": Decimal("-0.500000000"), "b": False, "d": date(1, 1, 1), "t": AT},
    {},
]


def fill(conn: Connection, run: str, rows: int = len(ROWS)) -> None:
    """Table `t` with ROWS again and again, `_id` counting from -1."""
    create_tables(conn, run, "snapshot", {"t": PLAN})
    schema = {name: polars_type(kind) for name, kind in PLAN.columns.items()}
    columns = {name: [ROWS[n % len(ROWS)].get(name) for n in range(rows)] for name in PLAN.columns}
    frame = pl.DataFrame(columns, schema=schema).with_columns(
        (pl.int_range(pl.len(), dtype=pl.Int64) - 1).alias("_id"),
        (pl.int_range(pl.len()) % 2).cast(pl.UInt16).alias("_src"),
        (pl.int_range(pl.len()) % 4).cast(pl.UInt64).alias("_chg"),
    )
    conn.execute("SET TimeZone = 'UTC'")
    append(conn, run, "t", PLAN, batch.table_of(batch.encode(frame)), 1)
    conn.commit()


def expected(n: int) -> dict[str, Any]:
    return {name: ROWS[n % len(ROWS)].get(name) for name in PLAN.columns}


def plain(value: Any) -> Any:
    """A value as the two text formats have it."""
    if isinstance(value, Decimal | date) and not isinstance(value, datetime):
        return str(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return "Infinity" if value == float("inf") else value


def add_letters(conn: Connection, run: str, records: list[dict[str, Any]], rule: str = "range") -> list[str]:
    """Open letters of table `thing`, under the run's key."""
    key = get_key(conn, bytes(32), run)
    names = []
    for n, record in enumerate(records):
        name = f"{run}/thing/lane/{rule}/{n}"
        position = orjson.dumps({"source": "file", "split": "things.csv", "line": n + 2}).decode()
        conn.execute(
            "INSERT INTO metal.dead_letters (id, run, tab, stage, rule, col, reason, position, sealed) "
            "VALUES (%s, %s, 'thing', 'rules', %s, 'id', 'is out of range', %s, %s)",
            (name, run, rule, position, seal(key, orjson.dumps(record), name)),
        )
        names.append(name)
    if conn.execute("SELECT 1 FROM metal.lanes WHERE run = %s", (run,)).fetchone() is None:
        lanes.plan(conn, run, [], 1, 1)
    conn.commit()
    return names
