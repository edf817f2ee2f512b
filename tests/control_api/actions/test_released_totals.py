"""Exports of tables of totals: compared group by group with earlier ones, refused where subtracting singles out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from psycopg.types.json import Json

from connectors.review.rows import append
from control_api.actions import releases
from control_api.actions.certificates import certify
from control_api.actions.context import Context
from control_api.actions.run_tables import create_tables
from control_api.store import tasks
from control_api.store.db import Connection
from control_api.store.outbox import plan_of
from schemas import batch
from schemas.columns import polars_type
from schemas.errors import Conflict
from schemas.task.model import Task

pytestmark = pytest.mark.stack
Row = tuple[Any, ...]
SALE = {
    "columns": {"city": {"type": "string"}, "day": {"type": "date"}, "who": {"type": "int64"}, "pay": {"type": "int64"}}
}
FIGURES = {"n": "count(*)", "pay": "sum(sale.pay)"}


def totals(*by: str, figures: dict[str, str] = FIGURES, anonymize: Any = (), source: str = "sale", **more: Any) -> Any:
    step = {"aggregate": {"by": list(by), "columns": figures, **more}}
    return {"from": {source: {}}, "transform": [step], "anonymize": [*anonymize]}


class Runs:
    """Runs of one task, prepared with the totals that a test gives."""

    def __init__(self, conn: Connection, new_run: Callable[..., str], ctx: Context) -> None:
        self.conn, self.new_run, self.ctx = conn, new_run, ctx

    def run(self, name: str, derived: dict[str, Any], **rows: list[Row]) -> str:
        run = self.new_run(f"small-{name}", "prepared")
        spec = Task.model_validate({"task": "small", "tables": {"sale": SALE, **derived}})
        self.conn.execute("UPDATE metal.tasks SET spec = %s", (Json(tasks.dump(spec)),))
        create_tables(self.conn, run, spec)
        for table, own in rows.items():
            plan = plan_of(self.conn, run, table)
            kinds = {column: polars_type(kind) for column, kind in plan.columns.items()}
            frame = pl.DataFrame(own, schema=kinds, orient="row").with_columns(
                _id=pl.int_range(pl.len(), dtype=pl.Int64), _src=pl.lit(0), _chg=pl.lit(0, pl.UInt64)
            )
            append(self.conn, run, table, plan, batch.table_of(batch.encode(frame)), 1)
        self.conn.commit()
        return run

    def export(self, run: str, table: str) -> int:
        return b"".join(releases.release(self.ctx, "me", run, table, "jsonl")).count(b"\n")

    def refused(self, run: str, table: str) -> str:
        with pytest.raises(Conflict) as refusal:
            self.export(run, table)
        return str(refusal.value)


@pytest.fixture
def runs(conn: Connection, new_run: Callable[..., str], ctx: Context) -> Runs:
    return Runs(conn, new_run, ctx)


CITY = {"city": totals("sale.city")}


def test_one_person_more_does_not_leave_and_five_do(runs: Runs, ctx: Context) -> None:
    first = runs.run("a", CITY, city=[("Oslo", 11, 500), ("Rome", 20, 900)])
    assert runs.export(first, "city") == 2
    one = runs.run("b", CITY, city=[("Oslo", 12, 590), ("Rome", 20, 900)])
    said = runs.refused(one, "city")
    assert "run small-a on" in said
    assert "groups of fewer than 5: 1 groups that changed by fewer. Export it when each group and total" in said
    with pytest.raises(Conflict, match="groups that changed by fewer"):
        certify(ctx, "me", one, "city")
    found = releases.check(ctx, one, "city")
    assert (found["guaranteed"], found["safe"], found["against"][0]["found"]) == (True, False, {"few": 1})
    assert runs.export(runs.run("c", CITY, city=[("Rome", 20, 900), ("Oslo", 11, 500)]), "city") == 2
    more = runs.run("d", CITY, city=[("Oslo", 16, 790), ("Rome", 20, 900), ("Bonn", 5, 9)])
    assert runs.export(more, "city") == 3
    assert [r.run for r in releases.list_releases(ctx, one)] == ["small-a", "small-c", "small-d"]
    assert runs.export(first, "city") == 2  # it left before


WHO = {"k": 3, "subject": "sale.who"}
PEOPLE = totals("sale.city", figures={"n": "count(*)", "who": "count(distinct sale.who)"}, small_groups=WHO)
ALL = totals(source="base", figures={"pay": "sum(base.pay)", "n": "sum(base.n)"})
LARGE = {"from": {"base": {}}, "transform": [{"filter": "base.n > 5"}, {"derive": {"more": "base.pay * 2"}}]}
NORTH = {"city": {"rows": [["Oslo", "N"], ["Bergen", "N"]], "level": 1}}
NATION = totals("sale.city", small_groups={"then": "merge", "levels": [NORTH]})


@pytest.mark.parametrize(
    ("derived", "first", "few", "kind", "enough"),
    [
        (PEOPLE, [("Oslo", 10, 6)], [("Oslo", 18, 8)], "few", [("Oslo", 12, 9)]),
        (totals("sale.city", small_groups=WHO), [("Oslo", 10, 60)], [("Oslo", 16, 90)], "uncounted", []),
        (ALL, [(60, 10)], [(61, 11)], "few", [(61, 15)]),
        (LARGE, [("Oslo", 10, 60, 120)], [("Oslo", 10, 60, 121)], "few", [("Oslo", 15, 60, 121)]),
        (NATION, [("Oslo", 7, 70), ("Bergen", 6, 60)], [("N", 12, 120)], "merged", [("N", 18, 120)]),
    ],
)
def test_what_keeps_groups_in_another_way_is_compared_in_that_way(
    runs: Runs, derived: Any, first: list[Row], few: list[Row], kind: str, enough: list[Row]
) -> None:
    """Counts of people, sums alone, totals of totals, rows of groups, merged groups."""
    tables = {"base": totals("sale.city"), "t": derived}
    assert runs.export(runs.run("a", tables, t=first), "t") == len(first)
    run = runs.run("b", tables, t=few)
    assert releases.check(runs.ctx, run, "t")["against"][0]["found"] == {kind: 1}
    assert ("Add a count of subjects to the table" in runs.refused(run, "t")) == (kind == "uncounted")
    assert runs.export(runs.run("c", tables, t=enough), "t") == len(enough)


def test_groups_whose_names_are_treated_leave_again_only_as_they_are(runs: Runs) -> None:
    tokens = {"city": totals("sale.city", anonymize=[{"method": "tokenize", "columns": ["city"]}])}
    assert runs.export(runs.run("a", tokens, city=[("x", 11, 5), ("y", 9, 6)]), "city") == 2
    assert runs.export(runs.run("b", tokens, city=[("v", 9, 6), ("w", 11, 5)]), "city") == 2
    assert "that are not decided" in runs.refused(runs.run("c", tokens, city=[("v", 90, 60)]), "city")


def test_published_groups_and_noise_are_not_compared(runs: Runs) -> None:
    noise = {"budget": "b", "epsilon": 1}
    derived = {
        "open": totals("sale.city", small_groups="publish"),
        "over": {"from": {"open": {}}},
        "noisy": totals(figures={"n": "count(*)"}, noise=noise),
    }
    for name, n in (("a", 7), ("b", 8)):
        run = runs.run(name, derived, open=[("Oslo", n, 7)], over=[("Oslo", n, 7)], noisy=[(n,)])
        assert [runs.export(run, table) for table in derived] == [1, 1, 1]
    assert releases.list_releases(runs.ctx, run) == []


def test_tables_of_the_same_records_are_compared_with_each_other(runs: Runs, ctx: Context) -> None:
    men = {"from": {"sale": {}}, "transform": [{"filter": "sale.who > 9"}, totals()["transform"][0]]}
    women = {"from": {"sale": {}}, "transform": [{"filter": "sale.who < 9"}, totals()["transform"][0]]}
    derived = {**CITY, "all": totals(), "over": totals(source="city", figures={"most": "sum(city.pay)"}),
               "men": men, "women": women}  # fmt: skip
    first = runs.run("a", derived, city=[("Oslo", 20, 500)], all=[(34, 600)], men=[(7, 70)], women=[(19, 530)])
    assert [runs.export(first, table) for table in ("city", "all", "men")] == [1, 1, 1]
    one = runs.run("b", derived, city=[("Oslo", 21, 590)], all=[(35, 690)], over=[(590,)], men=[(7, 70)],
                   women=[(8, 80)])  # fmt: skip
    assert "compared with what was exported of table city of run small-a" in runs.refused(one, "over")
    found = releases.check(ctx, one, "over")["against"]
    assert [(told["table"], told["found"]) for told in found] == [("city", {"total": 1}), ("all", {"total": 1})]
    assert runs.export(one, "women") == 1  # they are none of the men
    rest = runs.run("c", derived, city=[("Oslo", 25, 700)], all=[(40, 900)])
    assert runs.export(rest, "city") == 1
    assert "of table city of run small-a" in runs.refused(
        rest, "all"
    )  # five more of Oslo and one of whom it has withheld
    more = runs.run("d", derived, city=[("Oslo", 25, 700)], all=[(44, 900)])
    assert runs.export(more, "all") == 1
