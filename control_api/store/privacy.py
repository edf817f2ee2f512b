"""Privacy budgets, and what was told of them: rows, read and written as ledgers.

Always holds: whoever adds an answer holds its budget's lock, so that two runs never both take what is left. An answer
is on disk when the transaction that adds it is over. Costs are never taken back, whatever becomes of their run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import tuple_row
from psycopg.types.json import Json

from control_api.store.db import Connection
from processors.privacy.differential.ledger import NOTHING, Ledger, Told, read, written
from processors.privacy.differential.noise import Cost

Of = tuple[str, str]  # a table of a run


@dataclass(frozen=True)
class Account:
    """A budget as people look at it."""

    ledger: Ledger
    runs: int
    last: datetime | None  # when the newest answer was told


def granted(conn: Connection, name: str, lock: bool = True) -> Cost | None:
    """The budget; None if nobody has set it. Locked, nobody else takes from it until the transaction ends."""
    statement = "SELECT epsilon, delta FROM metal.privacy_budgets WHERE name = %s" + (" FOR UPDATE" if lock else "")
    with conn.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(statement.encode(), (name,)).fetchone()
    return None if row is None else read(*row)


def set_budget(conn: Connection, name: str, cost: Cost, actor: str) -> None:
    """Replaces what was set before."""
    conn.execute(
        "INSERT INTO metal.privacy_budgets (name, epsilon, delta, set_by) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET epsilon = excluded.epsilon, delta = excluded.delta,"
        " at = clock_timestamp(), set_by = excluded.set_by",
        (name, *written(cost).values(), actor),
    )


def ledger_of(conn: Connection, name: str, of: Of, lock: bool = True) -> Ledger:
    """The ledger of a budget, with the answers about one table of a run."""
    budget = granted(conn, name, lock)
    told = told_of(conn, of)
    spent = _spent(conn, name).get(name, NOTHING)
    return Ledger(name, budget, told, spent - sum((one.cost for one in told.values()), NOTHING))


def told_of(conn: Connection, of: Of) -> dict[str, Told]:
    """By column, what was told of a table of a run."""
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT col, asked, epsilon, delta, answer FROM metal.privacy_answers WHERE run = %s AND tab = %s", of
        ).fetchall()
    return {column: Told(asked, read(epsilon, delta), answer) for column, asked, epsilon, delta, answer in rows}


def add(conn: Connection, name: str, of: Of, told: dict[str, Told]) -> None:
    """What was told now; call it with the budget locked."""
    conn.execute("SET LOCAL synchronous_commit = on")
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO metal.privacy_answers (run, tab, col, budget, asked, answer, epsilon, delta)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (*of, column, name, Json(dict(one.asked)), Json(one.answer), *written(one.cost).values())
                for column, one in told.items()
            ],
        )


def accounts(conn: Connection) -> list[Account]:
    """Every budget, by name."""
    spent = _spent(conn)
    with conn.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT b.name, b.epsilon, b.delta, count(DISTINCT a.run), max(a.at)"
            " FROM metal.privacy_budgets b LEFT JOIN metal.privacy_answers a ON a.budget = b.name"
            " GROUP BY b.name ORDER BY b.name"
        ).fetchall()
    return [
        Account(Ledger(name, read(epsilon, delta), {}, spent.get(name, NOTHING)), runs, last)
        for name, epsilon, delta, runs, last in rows
    ]


def _spent(conn: Connection, name: str | None = None) -> dict[str, Cost]:
    """Exact: the costs are few different ones, so they are counted there and added up here."""
    found: dict[str, Cost] = {}
    values: dict[str, Any] = {"name": name}
    with conn.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "SELECT budget, epsilon, delta, count(*) FROM metal.privacy_answers"
            " WHERE %(name)s::text IS NULL OR budget = %(name)s GROUP BY budget, epsilon, delta",
            values,
        )
        for budget, epsilon, delta, times in cursor:
            one = read(epsilon, delta)
            found[budget] = found.get(budget, NOTHING) + Cost(one.epsilon * times, one.delta * times)
    return found
