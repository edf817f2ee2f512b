"""Exports of tables that promise groups: kept, compared with earlier ones, refused where that would tell on someone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psycopg
import pytest
from psycopg.types.json import Json

from connectors.review.rows import append
from control_api.actions import releases
from control_api.actions.certificates import certify
from control_api.actions.context import Context
from control_api.cli.main import run as metal
from control_api.store import tasks
from control_api.store.db import Connection, migrate
from control_api.store.outbox import TablePlan, create_tables
from processors.privacy.releases.versions import told
from schemas import batch
from schemas.columns import ColumnType
from schemas.errors import Conflict
from schemas.task.model import Task

pytestmark = pytest.mark.stack
Row = tuple[Any, ...]
GROUPED = {"method": "generalize", "quasi_identifiers": ["age"], "k": 3, "l": [{"column": "ill", "l": 2}]}


def plan(*names: str) -> TablePlan:
    kinds: dict[str, ColumnType] = {one: "int64" if one in ("id", "group", "count") else "string" for one in names}
    return TablePlan(kinds, [], ["file"])


class Store:
    """Runs of one task with one table `person`, prepared with the rows that a test gives."""

    def __init__(self, conn: Connection, new_run: Callable[..., str]) -> None:
        self.conn, self.new_run = conn, new_run

    def run(
        self,
        name: str,
        rows: list[Row],
        columns: str = "age ill",
        *methods: dict[str, Any],
        key: str = "",
        beside: list[Row] | None = None,
    ) -> str:
        run, names = self.new_run(f"small-{name}", "prepared"), columns.split()
        kinds = {
            one: {"type": "int64" if one in ("id", "age") else "string"}
            for one in [*names, "ill", "name"]
            if one != "group"
        }
        table: dict[str, Any] = {"columns": kinds, "anonymize": [*methods] or [GROUPED]}
        if key:
            table["primary_key"] = {"column": key, "conflicts": "drop_all"}
        spec = Task.model_validate({"task": "small", "tables": {"person": table}})
        self.conn.execute("UPDATE metal.tasks SET spec = %s", (Json(tasks.dump(spec)),))
        plans = {"person": plan(*names)} | ({"person_ill": plan("group", "ill", "count")} if beside else {})
        create_tables(self.conn, run, "snapshot", plans)
        self.add(run, "person", rows, plans["person"])
        if beside:
            self.add(run, "person_ill", beside, plans["person_ill"])
        return run

    def add(self, run: str, name: str, rows: list[Row], shape: TablePlan, start: int = 0) -> None:
        kinds = {one: pl.Int64 if kind == "int64" else pl.String for one, kind in shape.columns.items()}
        frame = pl.DataFrame(rows, schema=kinds, orient="row").with_columns(
            _id=pl.int_range(pl.len(), dtype=pl.Int64) + start, _src=pl.lit(0), _chg=pl.lit(0, pl.UInt64)
        )
        append(self.conn, run, name, shape, batch.table_of(batch.encode(frame)), 1)
        self.conn.commit()


@pytest.fixture
def store(conn: Connection, new_run: Callable[..., str]) -> Store:
    return Store(conn, new_run)


@pytest.fixture
def export(ctx: Context) -> Callable[..., int]:
    """Exports a table; gives how many rows left."""

    def go(run: str, table: str = "person", provenance: bool = False) -> int:
        return b"".join(releases.release(ctx, "me", run, table, "jsonl", provenance)).count(b"\n")

    return go


def crowd(age: str, *ills: str) -> list[Row]:
    return [(age, ill) for ill in ills]


FIRST = [*crowd("20..29", "flu", "cold", "cough"), *crowd("30..39", "flu", "cold", "cough", "flu")]


def test_the_same_again_is_no_new_release(store: Store, export: Any, ctx: Context, conn: Connection) -> None:
    one, other = store.run("a", FIRST), store.run("b", FIRST[::-1])
    assert [export(run) for run in (one, one, other)] == [7, 7, 7]
    found = releases.list_releases(ctx, other)
    assert [(r.run, r.table, r.rows, r.actor) for r in found] == [(one, "person", 7, "me"), (other, "person", 7, "me")]
    assert len({r.digest for r in found}) == 1
    assert conn.execute("SELECT count(*) FROM metal.release_contents").fetchone() == (1,)
    details = conn.execute("SELECT detail FROM metal.audit WHERE action = 'outbox.exported'").fetchall()
    assert {detail["release"] for (detail,) in details} == {found[0].digest}


def test_one_person_more_is_refused_and_enough_are_not(
    store: Store, export: Any, ctx: Context, conn: Connection
) -> None:
    one = store.run("a", FIRST)
    assert export(one) == 7
    second = store.run("b", [*FIRST, ("20..29", "ulcer")])
    with pytest.raises(Conflict, match=r"small-a.*fewer than 3: 1 of who came, 1 with too few values. Export it when"):
        export(second)
    with pytest.raises(Conflict, match=r"small-a.*fewer than 3"):
        certify(ctx, "me", second, "person")
    assert [r.run for r in releases.list_releases(ctx, one)] == [one]
    refused = conn.execute("SELECT detail FROM metal.audit WHERE action = 'outbox.refused'").fetchall()
    assert [detail["table"] for (detail,) in refused] == ["person"]
    third = store.run("c", [*FIRST, *crowd("20..29", "ulcer", "flu", "cold"), *crowd("50..59", "flu", "cold", "flu")])
    assert export(third) == 13
    with pytest.raises(Conflict, match=r"small-[ac]\b"):
        export(second)
    assert export(one) == 7  # it left before the others


def test_each_earlier_release_counts(store: Store, export: Any) -> None:
    """The third is harmless beside the second, not beside the first."""
    people = crowd("20..29", *"abcdefghi")
    assert [export(store.run(*one)) for one in (("a", people[:6]), ("b", people[:3]))] == [6, 3]
    with pytest.raises(Conflict, match=r"small-a on .{10}, it tells groups of fewer than 3: 1 of who left"):
        export(store.run("c", [*people[:3], *people[4:]]))


def test_over_http_and_the_command_line(
    store: Store,
    served: str,
    token: str,
    api: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("METAL_API", served)
    monkeypatch.setenv("METAL_API_TOKEN", token)
    one, other = store.run("a", FIRST), store.run("b", FIRST[1:])
    check = ("outbox", "check", other, "--table", "person")
    assert metal(check) == 0
    assert "nothing was exported before" in capfd.readouterr().out
    assert metal(("outbox", "export", one, "--table", "person", "-o", str(tmp_path / "a"))) == 0
    file = tmp_path / "b"
    capfd.readouterr()
    assert metal(("outbox", "export", other, "--table", "person", "-o", str(file))) == 2
    assert "compared with what was exported of run small-a" in capfd.readouterr().err
    assert not file.exists()
    assert api.get(f"/runs/{other}/outbox/person/export").status_code == 409
    assert metal((*check, "--json")) == 1
    found = json.loads(capfd.readouterr().out)
    assert (found["safe"], found["released"], found["rows"]) == (False, False, 6)
    assert [(o["run"], o["found"]) for o in found["against"]] == [(one, {"left": 1, "value": 1})]
    assert metal(check) == 1
    assert "1 left, 1 value" in capfd.readouterr().out
    assert metal(("outbox", "check", one, "--table", "person")) == 0
    assert "exactly this was exported before" in capfd.readouterr().out
    assert metal(("outbox", "releases", other)) == 0
    assert "small-a" in capfd.readouterr().out
    assert metal(("outbox", "releases", other, "--json")) == 0
    assert [o["run"] for o in json.loads(capfd.readouterr().out)["releases"]] == [one]
    assert metal(("outbox", "check", other, "--table", "people")) == 2
    assert api.get("/runs/nobody/releases").status_code == 404


def test_rows_that_a_published_key_links_are_followed(store: Store, export: Any) -> None:
    """The regions and values are the same, but the key tells that two people changed places."""
    rows = [(n, "20..29" if n < 4 else "30..39", "xy"[n % 2]) for n in range(8)]
    moved = [(n, {0: "30..39", 4: "20..29"}.get(n, age), ill) for n, age, ill in rows]
    others = [(n + 100, age, ill) for n, age, ill in rows[:-1]]
    assert export(store.run("a", rows, "id age ill", key="id")) == 8
    with pytest.raises(Conflict, match="2 of who is in a group of both"):
        export(store.run("b", moved, "id age ill", key="id"))
    assert export(store.run("c", others, "id age ill", key="id")) == 7  # all others, as the key shows


def test_a_key_of_the_run_links_within_the_run_alone(store: Store, export: Any, conn: Connection) -> None:
    tokens = {"method": "tokenize", "columns": ["id"]}
    rows = [(n, "20..29" if n < 4 else "30..39", "xy"[n % 2]) for n in range(8)]
    moved = [(n, {0: "30..39", 4: "20..29"}.get(n, age), ill) for n, age, ill in rows]
    run = store.run("a", rows, "id age ill", GROUPED, tokens, key="id")
    assert export(run) == 8
    again = store.run("b", moved, "id age ill", GROUPED, tokens, key="id")
    assert export(again) == 8  # tokens of another key
    conn.execute('UPDATE "outbox_small-a".person SET age = CASE WHEN age = %s THEN %s ELSE %s END WHERE id IN (0, 4)',
                 ("20..29", "30..39", "20..29"))  # fmt: skip
    conn.commit()
    with pytest.raises(Conflict, match="2 of who is in a group of both"):
        export(run)


def test_the_identity_that_provenance_tells_links_too(store: Store, export: Any, conn: Connection) -> None:
    rows = [("20..29" if n < 4 else "30..39", "xy"[n % 2]) for n in range(8)]
    run = store.run("a", rows)
    assert export(run, provenance=True) == 8
    conn.execute('UPDATE "outbox_small-a".person SET age = CASE WHEN age = %s THEN %s ELSE %s END WHERE _id IN (0, 4)',
                 ("20..29", "30..39", "20..29"))  # fmt: skip
    conn.commit()
    assert export(run) == 8
    with pytest.raises(Conflict, match="2 of who is in a group of both"):
        export(run, provenance=True)


def test_other_published_columns_tell_who_is_the_same(store: Store, export: Any) -> None:
    """Four came and one left: by the illness alone it might be three who came."""
    names = [("20..29", "flu", f"n{n}") for n in range(4)] + [("20..29", "cold", "n9")] * 3
    assert export(store.run("a", names, "age ill name")) == 7
    later = [*names[1:], *[("20..29", "flu", f"m{n}") for n in range(4)], *[("20..29", "cold", "n8")] * 3]
    with pytest.raises(Conflict, match="1 of who left"):
        export(store.run("b", later, "age ill name"))


def test_k_counts_people_also_among_those_who_came(store: Store, export: Any) -> None:
    subject = {**GROUPED, "subject": "name"}
    rows = [("20..29", "xy"[n % 2], f"p{n // 2}") for n in range(8)]
    assert export(store.run("a", rows, "age ill name", subject)) == 8
    with pytest.raises(Conflict, match="of who came"):  # four rows of two people
        export(
            store.run("b", [*rows, *[("20..29", "xy"[n % 2], f"q{n // 2}") for n in range(4)]], "age ill name", subject)
        )


APART = {"method": "anatomize", "sensitive": "ill", "l": 2}


def test_values_set_apart_stay_among_the_same_others(store: Store, export: Any, ctx: Context) -> None:
    def run(name: str, groups: dict[str, int], values: dict[str, int]) -> str:
        beside = [(group, ill, 1) for ill, group in values.items()]
        return store.run(name, [*groups.items()], "name group", APART, beside=beside)

    values = {"flu": 5, "cold": 5, "cough": 6, "ulcer": 6}
    one = run("a", {"ann": 5, "bob": 5, "cat": 6, "dan": 6}, values)
    assert export(one, "person_ill") == 4
    assert [r.table for r in releases.list_releases(ctx, one)] == ["person"]
    mixed = {"flu": 8, "cough": 8, "cold": 9, "ulcer": 9}
    other = run("b", {"ann": 8, "bob": 9, "cat": 8, "dan": 9}, mixed)
    for table in ("person", "person_ill"):
        with pytest.raises(Conflict, match="4 records that stand among other values now"):
            export(other, table)
    renamed = {ill: {5: 8, 6: 9}[group] for ill, group in values.items()}
    assert export(run("c", {"ann": 8, "bob": 8, "cat": 9, "dan": 9}, renamed)) == 4


def test_other_quasi_identifiers_are_compared_by_what_both_have(store: Store, export: Any) -> None:
    """What was a region and is a plain column now can't be compared: that is a finding."""
    by_name = {**GROUPED, "quasi_identifiers": ["age", "name"]}
    rows = [("20..29", ill, "x") for ill in ("flu", "cold", "cough")]
    assert export(store.run("a", rows, "age ill name", by_name)) == 3
    with pytest.raises(Conflict, match="1 that are not decided"):
        export(store.run("b", [*rows, rows[0]], "age ill name"))
    assert export(store.run("c", [row[:2] for row in rows], "age ill")) == 3
    with pytest.raises(Conflict, match="1 of who came"):
        export(store.run("d", [row[:2] for row in [*rows, rows[0]]], "age ill"))


def test_what_is_exported_is_what_was_checked(
    store: Store, export: Any, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(store.run("a", FIRST))
    run = store.run("b", FIRST * 2)

    def meanwhile(*versions: Any) -> dict[str, int]:
        store.add(run, "person", [("20..29", "ulcer")], plan("age", "ill"), 99)
        return told(*versions)

    monkeypatch.setattr(releases, "told", meanwhile)
    assert export(run) == 14
    assert conn.execute('SELECT count(*) FROM "outbox_small-b".person').fetchone() == (15,)


def test_tables_that_promise_nothing_are_not_looked_at(store: Store, export: Any, ctx: Context) -> None:
    method = {"method": "mask", "columns": {"name": {"keep_last": 1}}}
    run = store.run("a", [("20", "flu", "*x")], "age ill name", method)
    assert export(run) == 1
    assert releases.list_releases(ctx, run) == []
    assert releases.check(ctx, run, "person")["guaranteed"] is False


def test_a_task_that_this_version_can_t_read_is_told(store: Store, export: Any) -> None:
    run = store.run("a", FIRST, "age ill", {**GROUPED, "l": {"ill": 2}})
    with pytest.raises(Conflict, match=r"person of run small-a can't leave: .* in the version that it ran in"):
        export(run)


def test_a_home_of_an_earlier_version_gets_the_tables(url: str, store: Store, export: Any) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("DROP TABLE metal.releases, metal.release_contents")
        conn.execute("UPDATE metal.schema_version SET digest = 'of before'")
    migrate(url)
    assert export(store.run("a", FIRST)) == 7
