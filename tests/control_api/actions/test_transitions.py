from __future__ import annotations

from collections.abc import Callable

import pytest

from control_api.actions import transitions
from control_api.actions.transitions import DELETED
from control_api.store import audit, keys, lanes, outbox, runs
from control_api.store.db import Connection
from control_api.store.outbox import TablePlan
from schemas.errors import Conflict, NotFound
from schemas.run import FOLLOWS

NewRun = Callable[..., str]
MASTER = bytes(32)


def kinds(conn: Connection) -> list[str]:
    return [event["kind"] for (event,) in conn.execute("SELECT event FROM metal.control ORDER BY seq")]


def actions(conn: Connection) -> list[str]:
    return [entry.action for entry in audit.search(conn, after=0)]


def ask(conn: Connection, to: str, run: str) -> bool:
    if to == "paused":
        return transitions.pause(conn, "me", run)
    if to == "running":
        return transitions.resume(conn, "me", run)
    if to == "prepared":
        return transitions.mark_prepared(conn, "me", run)
    if to == "failed":
        return transitions.fail_run(conn, "me", run, "why")
    return transitions.stop(conn, "me", run)


@pytest.mark.parametrize("before", FOLLOWS)
@pytest.mark.parametrize("to", FOLLOWS)
def test_only_what_may_follow_follows(conn: Connection, new_run: NewRun, before: str, to: str) -> None:
    run = new_run(state=before)
    if to in FOLLOWS[before]:  # type: ignore[index]  # a parameter is a plain string
        assert ask(conn, to, run) is True
        assert runs.get_run(conn, run).state == to
        assert actions(conn)[0] == f"run.{'resumed' if to == 'running' else to}"
        assert ask(conn, to, run) is False
        assert len([one for one in actions(conn) if one != "run.ended"]) == 1
        return
    if before == to or to == "failed" or (before, to) == ("failed", "stopped"):
        try:
            assert ask(conn, to, run) is False
        except Conflict:
            assert (before, to) == ("failed", "stopped")
    else:
        with pytest.raises(Conflict, match=before):
            ask(conn, to, run)
    assert runs.get_run(conn, run).state == before
    assert actions(conn) == []
    assert kinds(conn) == []


@pytest.mark.parametrize("to", ["paused", "running", "prepared", "failed", "stopped"])
def test_a_run_that_is_unknown(conn: Connection, to: str) -> None:
    with pytest.raises(NotFound):
        ask(conn, to, "none")


def test_state_audit_and_control_stand_or_fall_together(conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    transitions.pause(conn, "me", run)
    conn.rollback()
    assert runs.get_run(conn, run).state == "running"
    assert actions(conn) == []
    assert kinds(conn) == []
    transitions.pause(conn, "me", run, "lunch")
    conn.commit()
    assert kinds(conn) == ["pause"]
    (entry,) = audit.search(conn)
    assert (entry.actor, entry.subject, entry.detail) == ("me", run, {"reason": "lunch"})


@pytest.mark.parametrize("end", ["failed", "stopped"])
def test_a_run_that_fails_or_is_stopped_loses_its_key_at_once(conn: Connection, new_run: NewRun, end: str) -> None:
    run = new_run()
    conn.execute(
        "INSERT INTO metal.dead_letters (id, run, tab, stage, rule, reason, position, sealed)"
        " VALUES ('l', %s, 'thing', 'rules', 'range', 'why', '{}', 'sealed')",
        (run,),
    )
    conn.execute(
        "INSERT INTO metal.replays (run, letter, tab, source, sealed) VALUES (%s, 'l', 'thing', 'file', 'sealed')",
        (run,),
    )
    ask(conn, end, run)
    found = runs.get_run(conn, run)
    assert found.ended_at is not None
    assert not found.open
    with pytest.raises(NotFound):
        keys.get_key(conn, MASTER, run)
    assert conn.execute("SELECT sealed FROM metal.dead_letters").fetchall() == [(b"",)]
    assert conn.execute("SELECT count(*) FROM metal.replays").fetchone() == (0,)
    assert kinds(conn) == ["fail" if end == "failed" else "stop", "end"]
    assert actions(conn) == [f"run.{end}", "run.ended"]
    assert transitions.end_run(conn, "me", run) is False


def test_a_prepared_run_keeps_its_key_until_it_is_ended(conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    with pytest.raises(Conflict):
        transitions.end_run(conn, "me", run)
    transitions.mark_prepared(conn, "me", run)
    assert keys.get_key(conn, MASTER, run)
    assert [one.run for one in runs.open_runs(conn)] == [run]
    assert transitions.end_run(conn, "me", run) is True
    assert runs.open_runs(conn) == []
    assert transitions.fail_run(conn, "me", run, "late") is False
    with pytest.raises(Conflict, match="has ended"):
        transitions.stop(conn, "me", run)


def test_dropping_prepared_rows(conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    outbox.create_tables(conn, run, "snapshot", {"thing": TablePlan({"id": "int64"}, [], ["file"])})
    with pytest.raises(Conflict, match="stop it"):
        transitions.delete_prepared(conn, "me", run)
    conn.rollback()
    outbox.create_tables(conn, run, "snapshot", {"thing": TablePlan({"id": "int64"}, [], ["file"])})
    transitions.mark_prepared(conn, "me", run)
    transitions.end_run(conn, "me", run)
    assert transitions.stop(conn, "me", run, drop_prepared=True) is True
    assert runs.get_run(conn, run).state == "stopped"
    assert runs.get_run(conn, run).notes == [DELETED]
    assert outbox.plans_of(conn, run) == {}
    assert transitions.stop(conn, "me", run, drop_prepared=True) is False
    assert transitions.delete_prepared(conn, "me", run) is False
    assert actions(conn).count("run.prepared_deleted") == 1


def test_the_first_row_is_noted_once(conn: Connection, new_run: NewRun) -> None:
    run = new_run()
    assert transitions.mark_first_row(conn, run) is True
    at = runs.get_run(conn, run).first_row_at
    assert at is not None
    assert transitions.mark_first_row(conn, run) is False
    assert runs.get_run(conn, run).first_row_at == at


def test_a_continuous_run_is_told_to_finish_once(conn: Connection, new_run: NewRun) -> None:
    run, snapshot = new_run("endless-aaaaaaaa", mode="continuous"), new_run()
    with pytest.raises(Conflict, match="of a snapshot, which ends by itself"):
        transitions.finish(conn, "me", snapshot)
    transitions.pause(conn, "me", run)
    with pytest.raises(Conflict, match="is paused; only a running one"):
        transitions.finish(conn, "me", run)
    transitions.resume(conn, "me", run)
    assert not lanes.finishing(conn, run)
    assert transitions.finish(conn, "me", run, "enough")
    assert lanes.finishing(conn, run)
    assert not transitions.finish(conn, "me", run)
    assert runs.get_run(conn, run).state == "running"
    assert actions(conn).count("run.finishing") == 1
    with pytest.raises(NotFound):
        transitions.finish(conn, "me", "none")
