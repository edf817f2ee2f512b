"""Anonymization is turned off by those alone who hold the permission, table by table, and never silently."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from control_api.actions import permissions, runs, tasks, waivers
from control_api.actions.context import Context
from control_api.composition import components
from control_api.store import db, outbox
from control_api.store.db import Connection
from control_api.store.runs import get_run
from schemas.errors import Conflict, Denied, InvalidInput, NotFound
from schemas.task.load import lint_text
from schemas.waiver import Asked
from tests.control_api.waived import TEXT, audited, holding, permit, release

pytestmark = pytest.mark.stack
ASKED = Asked("a check with the source")


@pytest.fixture
def task(ctx: Context, tmp_path: Path) -> str:
    return release(ctx, tmp_path)


def count(conn: Connection) -> int:
    conn.rollback()
    row = conn.execute("SELECT count(*) FROM metal.runs").fetchone()
    return 0 if row is None else int(row[0])


def test_without_the_permission_nothing_starts_and_the_refusal_is_audited(
    ctx: Context, task: str, conn: Connection
) -> None:
    with pytest.raises(Denied, match=r"anonymization\.off.*no permit came along.*--permit"):
        runs.start_run(ctx, "eve", task, without_anonymization=ASKED)
    assert count(conn) == 0
    ((actor, subject, detail),) = audited(conn, "permission.refused")
    assert (actor, subject, detail["permission"]) == ("eve", "people", "anonymization.off")
    assert detail["why"] == "no permit came along"


@pytest.mark.parametrize("why", ["not known", "revoked", "time is over"])
def test_a_permit_that_does_not_count_is_refused_with_the_reason(
    ctx: Context, task: str, conn: Connection, why: str
) -> None:
    secret = "metal-permit-of-somebody-else" if why == "not known" else permit(conn)
    if why == "revoked":
        assert permissions.revoke(conn, "root", "ada") == 1
    if why == "time is over":
        conn.execute("UPDATE metal.permits SET until = now() - interval '1 second'")
    conn.commit()
    with pytest.raises(Denied, match=why):
        runs.start_run(holding(ctx, secret), "eve", task, without_anonymization=ASKED)
    assert count(conn) == 0
    assert why in audited(conn, "permission.refused")[0][2]["why"]


def test_a_permit_is_given_revoked_and_audited_and_its_secret_is_in_no_table(ctx: Context, conn: Connection) -> None:
    secret = permit(conn, days=2)
    assert holding(ctx, secret).caller.holder == "ada"
    tables = conn.execute("SELECT string_agg(p::text, '') FROM metal.permits p").fetchone()
    entries = conn.execute("SELECT string_agg(a::text, '') FROM metal.audit a").fetchone()
    assert secret not in str(tables) + str(entries)
    permissions.revoke(conn, "root", "ada")
    conn.commit()
    assert holding(ctx, secret).caller.permissions == frozenset()
    assert [audited(conn, f"permit.{what}")[0][:2] for what in ("given", "revoked")] == [("root", "ada")] * 2
    with pytest.raises(NotFound, match="no permit that counts"):
        permissions.revoke(conn, "root", "ada")
    for holder, days in (("a b", 1), ("ada", 0), ("ada", float("nan"))):
        with pytest.raises(InvalidInput):
            permissions.give(conn, "root", holder, lambda _: None, days)


def test_the_run_its_record_and_the_log_tell_who_why_and_until_when(ctx: Context, task: str, conn: Connection) -> None:
    mine = holding(ctx, permit(conn))
    started = runs.start_run(mine, "bob", task, without_anonymization=Asked(" why not ", ("person",), 2))
    found = get_run(conn, started.run).waiver
    assert found is not None
    assert (found.tables, found.by, found.permit, found.reason) == (("person",), "bob", "ada", "why not")
    assert timedelta(hours=1.99) < found.until - found.at < timedelta(hours=2.01)
    ((actor, subject, detail),) = audited(conn, "anonymization.off")
    assert (actor, subject) == ("bob", started.run)
    told = found.told()
    assert detail == {name: told[name] for name in ("tables", "permit", "reason", "until")}


def test_what_is_named_leaves_as_declared_and_the_rest_as_ever(ctx: Context, task: str, conn: Connection) -> None:
    mine = holding(ctx, permit(conn))
    one = runs.start_run(mine, "bob", task, without_anonymization=Asked("x", ("person",)))
    plans = outbox.plans_of(conn, one.run)
    assert plans["person"].columns == {"id": "int64", "name": "string", "age": "int64"}
    assert {name: bool(table.anonymize) for name, table in one.carried_out.tables.items()} == {
        "person": False,
        "place": True,
        "unit": False,
    }
    assert one.spec.tables["person"].anonymize  # the released task stands as it was
    every = runs.start_run(mine, "bob", task, without_anonymization=ASKED)
    assert every.waiver is not None
    assert every.waiver.tables == ("person", "place")
    after = runs.start_run(mine, "bob", task)  # the permit alone turns nothing off
    assert after.waiver is None
    assert after.carried_out == after.spec
    assert outbox.plans_of(conn, after.run)["person"].columns["age"] == "string"


NO_SENSE = (
    (Asked("x", ("nobody",)), r"tables: task 'people' has no table 'nobody'.*person, place"),
    (Asked("x", ("unit",)), r"'unit' declares no method.*person, place"),
    (Asked("  "), r"reason: there is none"),
    (Asked("x", hours=0), r"hours: 0 is not that"),
    (Asked("x", hours=721), r"up to 720"),
    (Asked("x", hours=float("nan")), r"hours: nan"),
)


def test_what_makes_no_sense_is_refused(ctx: Context, task: str, conn: Connection) -> None:
    mine = holding(ctx, permit(conn))
    for asked, says in NO_SENSE:
        with pytest.raises(InvalidInput, match=says):
            runs.start_run(mine, "bob", task, without_anonymization=asked)
    assert count(conn) == 0


def test_a_task_that_anonymizes_nothing_has_nothing_to_turn_off(
    ctx: Context, base: str, task_text: Callable[..., str], conn: Connection
) -> None:
    name = release(ctx, Path(base), task_text())
    with pytest.raises(InvalidInput, match="anonymizes nothing"):
        runs.start_run(holding(ctx, permit(conn)), "bob", name, without_anonymization=ASKED)


def test_an_idempotency_key_opens_no_way_around(ctx: Context, task: str, conn: Connection) -> None:
    mine = holding(ctx, permit(conn))
    plain = runs.start_run(ctx, "bob", task, key="one")
    with pytest.raises(Conflict, match="used for another request"):
        runs.start_run(mine, "bob", task, key="one", without_anonymization=ASKED)
    off = runs.start_run(mine, "bob", task, key="two", without_anonymization=ASKED)
    assert runs.start_run(mine, "bob", task, key="two", without_anonymization=ASKED).run == off.run
    with pytest.raises(Conflict, match="used for another request"):
        runs.start_run(ctx, "bob", task, key="two")
    with pytest.raises(Denied):  # who repeats it has to have the permission, too
        runs.start_run(ctx, "bob", task, key="two", without_anonymization=ASKED)
    assert get_run(conn, plain.run).waiver is None
    assert count(conn) == 2


def test_what_groups_would_need_stops_no_start_without_them(
    ctx: Context, task: str, conn: Connection, tmp_path: Path
) -> None:
    (tmp_path / "person.csv").write_text("id,name,age\n1,Eva,31\n")
    mine = holding(ctx, permit(conn))
    for asked in (None, Asked("x", ("place",))):
        with pytest.raises(InvalidInput, match="k"):
            runs.start_run(mine, "bob", task, without_anonymization=asked)
    assert runs.start_run(mine, "bob", task, without_anonymization=Asked("x", ("person",))).state == "running"


def test_a_task_file_can_t_turn_it_off(ctx: Context, tmp_path: Path) -> None:
    for line in ("without_anonymization: true", "waiver: {tables: [person]}", "anonymize: false"):
        _, mistakes = lint_text(tmp_path / "t.yaml", f"{line}\n{TEXT}", components())
        assert [one.severity for one in mistakes] == ["error"]
    with pytest.raises(InvalidInput):
        tasks.create_task(ctx, "me", f"without_anonymization: true\n{TEXT}", tmp_path)


def test_a_waiver_stays_as_it_was_granted(ctx: Context, task: str, conn: Connection) -> None:
    runs.start_run(holding(ctx, permit(conn)), "bob", task, without_anonymization=ASKED)
    for change in ("UPDATE metal.waivers SET tables = '[]'", "DELETE FROM metal.waivers", "TRUNCATE metal.waivers"):
        with pytest.raises(psycopg.errors.RaiseException, match="stays as it was granted"):
            conn.execute(change.encode())
        conn.rollback()


def test_rows_are_opened_to_those_with_the_permission_and_not_after_their_time(
    ctx: Context, task: str, conn: Connection
) -> None:
    mine = holding(ctx, permit(conn))
    run = runs.start_run(mine, "bob", task, without_anonymization=Asked("x", ("person",))).run
    assert waivers.open_rows(ctx, "eve", run, "place", "showing") == {}
    with pytest.raises(Denied, match=r"showing table person, which is not anonymized"):
        waivers.open_rows(ctx, "eve", run, "person", "showing")
    assert waivers.open_rows(mine, "bob", run, "person", "showing") == {"anonymized": False, "permit": "ada"}
    conn.execute("ALTER TABLE metal.waivers DISABLE TRIGGER waiver_stays")
    conn.execute("UPDATE metal.waivers SET until = clock_timestamp()")
    conn.commit()
    with pytest.raises(Conflict, match="kept until"):
        waivers.open_rows(mine, "bob", run, "person", "showing")


def test_a_home_of_an_earlier_version_gets_what_is_new_and_keeps_its_runs(
    url: str, conn: Connection, new_run: Callable[..., str]
) -> None:
    run = new_run()
    conn.execute("DROP TABLE metal.waivers, metal.permits")
    conn.execute("UPDATE metal.schema_version SET version = 1, digest = 'earlier'")
    conn.commit()
    db.migrate(url)
    assert get_run(conn, run).waiver is None
    assert permit(conn)
    newest = conn.execute("SELECT version FROM metal.schema_version ORDER BY at DESC LIMIT 1").fetchone()
    assert newest == (2,)  # earlier code, which knows nothing of permits, is refused
