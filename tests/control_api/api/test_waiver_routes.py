"""Runs without anonymization over HTTP: who may start one, and who sees its rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_api.actions.context import Context
from control_api.store.db import Connection
from tests.control_api.prepared import PLAN, fill
from tests.control_api.waived import audited, permit, release

pytestmark = pytest.mark.stack
BODY: dict[str, Any] = {"task": "people", "without_anonymization": {"reason": "a check", "tables": ["person"]}}


def by(secret: str) -> dict[str, str]:
    return {"X-Metal-Permit": secret}


@pytest.fixture
def raw(conn: Connection, new_run: Callable[..., str]) -> str:
    """A prepared run whose only table, t, has a waiver."""
    run = new_run(state="prepared")
    fill(conn, run)
    conn.execute(
        "INSERT INTO metal.waivers (run, tables, actor, permit, reason, until)"
        """ VALUES (%s, '["t"]', 'bob', 'ada', 'a check', now() + interval '1 hour')""",
        (run,),
    )
    conn.commit()
    return run


def test_the_token_alone_is_403_and_a_permit_is_201(
    api: httpx.Client, ctx: Context, tmp_path: Path, conn: Connection
) -> None:
    release(ctx, tmp_path)
    for headers in ({}, by("metal-permit-wrong"), {"X-Metal-Actor": "ada"}):
        refused = api.post("/runs", json=BODY, headers=headers)
        assert (refused.status_code, refused.json()["title"]) == (403, "denied")
        assert "anonymization.off" in refused.json()["detail"]
    assert len(audited(conn, "permission.refused")) == 3
    assert api.get("/runs").json()["items"] == []
    made = api.post("/runs", json=BODY, headers=by(permit(conn)))
    assert made.status_code == 201
    told = made.json()["without_anonymization"]
    assert (told["tables"], told["by"], told["permit"], told["reason"]) == (["person"], "tester", "ada", "a check")
    plain = api.post("/runs", json={"task": "people"}, headers=by(permit(conn))).json()
    assert plain["without_anonymization"] is None
    listed = {one["run"]: one["without_anonymization"] for one in api.get("/runs").json()["items"]}
    assert listed == {made.json()["run"]: told, plain["run"]: None}


def test_a_reason_is_needed_and_what_is_unknown_is_refused(api: httpx.Client, conn: Connection) -> None:
    for off in (
        {},
        {"reason": ""},
        {"reason": "x", "hours": 0},
        {"reason": "x", "hours": 1e9},
        {"reason": "x", "k": 1},
    ):
        answer = api.post("/runs", json={"task": "people", "without_anonymization": off}, headers=by(permit(conn)))
        assert answer.status_code == 400, off


def test_rows_take_a_permit_and_every_look_is_audited(api: httpx.Client, raw: str, conn: Connection) -> None:
    path = f"/runs/{raw}/outbox/t"
    for one in (path, f"{path}/records/0", f"{path}/export"):
        assert api.get(one).status_code == 403, one
    assert len(audited(conn, "permission.refused")) == 3
    assert audited(conn, "outbox.exported") == []
    mine = by(permit(conn))
    first = api.get(path, params={"limit": 2}, headers=mine)
    assert len(first.json()["items"]) == 2
    api.get(path, params={"limit": 2, "cursor": first.json()["next"]}, headers=mine)
    assert api.get(f"{path}/records/0", headers=mine).json()["_id"] == 0
    assert len(api.get(f"{path}/export", headers=mine).content.splitlines()) == 3
    entry = {"table": "t", "anonymized": False, "permit": "ada"}
    assert audited(conn, "outbox.shown") == [("tester", raw, entry)] * 3
    assert audited(conn, "outbox.exported") == [("tester", raw, entry | {"format": "jsonl"})]
    counted = api.get(f"/runs/{raw}/outbox").json()["tables"]  # what there is, not what is in it
    assert [(one["table"], one["records"]) for one in counted] == [("t", 3)]


def test_other_rows_take_none(api: httpx.Client, conn: Connection, new_run: Callable[..., str]) -> None:
    run = new_run(state="prepared")
    fill(conn, run)
    assert next(iter(PLAN.columns)) in api.get(f"/runs/{run}/outbox/t").json()["items"][0]
    assert api.get(f"/runs/{run}/outbox/t/export").status_code == 200
    assert audited(conn, "outbox.shown") == []
    assert audited(conn, "outbox.exported")[0][2] == {"table": "t", "format": "jsonl"}
