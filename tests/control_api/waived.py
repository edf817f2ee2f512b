"""A task of two tables that are anonymized and one that is not, and permits for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from control_api.actions import permissions, tasks
from control_api.actions.context import Context
from control_api.store.db import Connection

TEXT = """task: people
tables:
  person:
    columns: {id: {type: int64}, name: {type: string}, age: {type: int64}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: csv, path: person.csv}}
    anonymize:
      - {method: suppress, columns: [name]}
      - {method: generalize, quasi_identifiers: [age], k: 2}
  place:
    columns: {id: {type: int64}, town: {type: string}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: csv, path: place.csv}}
    anonymize: [{method: suppress, columns: [town]}]
  unit:
    columns: {id: {type: int64}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {s: {connector: csv, path: unit.csv}}
"""


def release(ctx: Context, base: Path, text: str = TEXT) -> str:
    name, version = tasks.create_task(ctx, "me", text, base)
    return tasks.release_task(ctx, "me", name, version).name


def permit(conn: Connection, holder: str = "ada", days: float = 1) -> str:
    """The secret of a new permit."""
    kept: list[str] = []
    permissions.give(conn, "root", holder, kept.append, days)
    conn.commit()
    return kept[0]


def holding(ctx: Context, secret: str) -> Context:
    """The context of a call that comes with this permit."""
    return replace(ctx, caller=permissions.caller_of(ctx, secret))


def audited(conn: Connection, action: str) -> list[tuple[str, str, dict[str, Any]]]:
    conn.rollback()
    found = conn.execute(
        "SELECT actor, subject, detail FROM metal.audit WHERE action = %s ORDER BY seq", (action,)
    ).fetchall()
    return [(actor, subject, detail) for actor, subject, detail in found]
