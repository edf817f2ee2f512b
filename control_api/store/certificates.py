"""Signed certificates of prepared tables, as they were made. They hold no row and outlive what they certify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import tuple_row
from psycopg.types.json import Json

from control_api.store.db import Connection


@dataclass(frozen=True)
class Stored:
    """`final`: the run had ended when the rows were read, so the certificate holds for good."""

    document: dict[str, Any]
    final: bool


def put(conn: Connection, run: str, table: str, document: dict[str, Any], final: bool) -> None:
    """A later certificate of the same table takes the place of the earlier one."""
    conn.execute(
        "INSERT INTO metal.certificates (run, tab, document, final) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (run, tab) DO UPDATE SET document = excluded.document, final = excluded.final, at = now()",
        (run, table, Json(document), final),
    )


def get(conn: Connection, run: str, table: str) -> Stored | None:
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(
            "SELECT document, final FROM metal.certificates WHERE run = %s AND tab = %s", (run, table)
        ).fetchone()
    return None if row is None else Stored(*row)
