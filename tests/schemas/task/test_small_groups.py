"""What lint says of `small_groups`: path, what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_api.composition import components
from docs.pages import read_page
from schemas.errors import Mistake
from schemas.task.load import lint_text

TASK = """
task: shop
tables:
  customer:
    columns: {id: {type: int64}, city: {type: string}, age: {type: int64}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {base: {connector: csv, path: base.csv}}
  order:
    columns: {id: {type: int64}, customer: {type: int64}, day: {type: date}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {base: {connector: csv, path: more.csv}}
  daily:
    from: {order: {join: {customer: customer}}}
    transform:
      - filter: "order.id > 0"
      - aggregate: {by: [order.day, customer.city, customer.age], columns: {orders: "count(*)"}, small_groups: SMALL}
"""


def mistakes(small: str, path: Path = Path("t.yaml")) -> list[Mistake]:
    return lint_text(path, TASK.replace("SMALL", small), components())[1]


SMALL: list[tuple[str, str, tuple[str, ...]]] = [
    ("publsh", "", ("publsh does not fit", "{k: 5, subject: COLUMN}", "publish")),
    ("{k: 1}", ".k", ("1 does not fit", "greater than or equal to 2")),
    ("{kk: 5}", ".kk", ("not known", "k?")),
    ("{subject: order.custmer}", ".subject", ("no column order.custmer", "order.customer?")),
    ("{subject: \"order.id + 1\"}", ".subject", ("no column", "derive a column")),
    ("{}, noise: {budget: b, epsilon: 1}", "", ("tells all of them with noise", "leave small_groups out")),
    ("{then: drop}", ".then", ("drop", "suppress, merge")),
    ("{then: merge}", "", ("merges along no levels", "levels:")),
    ("{levels: [{day: {unit: month}}]}", ".levels", ("merges nothing", "then: merge")),
    ("{then: merge, levels: [{dai: {unit: month}}]}", ".levels[0].dai", ("dai is not grouped by", "day?")),
    ("{then: merge, levels: [{day: {}}]}", ".levels[0].day", ("no way or in several", "unit")),
    ("{then: merge, levels: [{day: {unit: mont}}]}", ".levels[0].day.unit", ("mont", "month")),
    ("{then: merge, levels: [{day: {unit: hour}}]}", ".levels[0].day.unit", ("finer than a date", "month")),
    ("{then: merge, levels: [{city: {unit: year}}]}", ".levels[0].city.unit", ("type string", "date")),
    ("{then: merge, levels: [{day: {unit: year}}, {day: {unit: month}}]}", ".levels[1].day.unit",
     ("month is finer than year", "give year")),
    ("{then: merge, levels: [{day: {unit: week}}, {day: {unit: month}}]}", ".levels[1].day.unit",
     ("weeks do not nest", "leave one")),
    ("{then: merge, levels: [{city: {keep_first: 1}}, {city: {keep_first: 2}}]}", ".levels[1].city.keep_first",
     ("2 is finer than 1", "or fewer")),
    ("{then: merge, levels: [{city: {keep_first: 1}}, {city: {geohash: 1}}]}", ".levels[1].city.geohash",
     ("comes after keep_first", "coarser")),
    ("{then: merge, levels: [{city: {rows: [[a, b, c]], level: 2}}, {city: {rows: [[a, b, c]], level: 1}}]}",
     ".levels[1].city.level", ("lower than before", "2 or more")),
    ("{then: merge, levels: [{city: {rows: [[a, b, c]], level: 1}}, {city: {rows: [[a, d, c]], level: 2}}]}",
     ".levels[1].city.rows", ("another hierarchy", "the same one")),
    ("{then: merge, levels: [{age: {step: 10}}, {age: {step: 25}}]}", ".levels[1].age.step",
     ("25 is no multiple of 10", "multiple of the step before")),
    ("{then: merge, levels: [{age: {step: 2.5}}]}", ".levels[0].age.step", ("too fine for the column",)),
    ("{then: merge, levels: [{age: 10}]}", ".levels[0].age", ("10 does not fit",)),
    ("{then: merge, levels: [{city: {hierarchy: none.csv, level: 1}}]}", ".levels[0].city",
     ("can't be read", "UTF-8")),
    ("{then: merge, levels: [{city: {rows: [[a, b]], level: 2}}]}", ".levels[0].city.level", ("levels 1 to 1",)),
]  # fmt: skip


@pytest.mark.parametrize(("small", "path", "parts"), SMALL, ids=[one[0] for one in SMALL])
def test_each_mistake_about_small_groups(small: str, path: str, parts: tuple[str, ...]) -> None:
    found = mistakes(small)
    assert f"tables.daily.transform[1].aggregate.small_groups{path}" == found[0].path
    assert len(found) == 1 or "noise" in small
    assert all(part in f"{found[0].wrong}; {found[0].right}" for part in parts), found[0]


def test_one_group_is_not_merged() -> None:
    text = TASK.replace("by: [order.day, customer.city, customer.age], ", "")
    small = "{then: merge, levels: [{day: {unit: month}}]}"
    found = lint_text(Path("t.yaml"), text.replace("SMALL", small), components())[1]
    assert found[0].path == "tables.daily.transform[1].aggregate.small_groups.then"
    assert "name columns in by" in found[0].right


MERGED = "{then: merge, levels: [{day: {unit: month}, city: {rows: [[a, b]], level: 1}}, {day: {unit: year}}]}"


@pytest.mark.parametrize("small", ["publish", "{k: 3}", "{subject: order.customer}", "null", MERGED])
def test_small_groups_as_they_may_be_written(small: str) -> None:
    assert mistakes(small) == []


def test_what_the_page_shows_is_right(tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text("Oslo;Norway\nRome;Italy\n")
    page = read_page((Path(__file__).parents[3] / "docs" / "expressions.md").read_text())
    shown = [one.code.strip().removeprefix("small_groups: ") for one in page.blocks if "small_groups" in one.code]
    assert len(shown) == 2
    for small in shown:
        assert mistakes(small.replace("customer_id", "customer"), tmp_path / "t.yaml") == []


def test_a_hierarchy_is_read_from_its_file(tmp_path: Path) -> None:
    small = "{then: merge, levels: [{city: {hierarchy: city.csv, level: 1}}, {city: {hierarchy: city.csv, level: 2}}]}"
    (tmp_path / "city.csv").write_text("Oslo;Norway;Europe\nRome;Italy;Europe\n")
    assert mistakes(small, tmp_path / "t.yaml") == []
    (found,) = mistakes(small.replace("level: 2", "level: 3"), tmp_path / "t.yaml")
    assert (found.path, found.wrong) == (
        "tables.daily.transform[1].aggregate.small_groups.levels[1].city.level",
        "has levels 1 to 2 only",
    )
    (tmp_path / "city.csv").write_text("Oslo;Norway;Europe\nOslo;Italy;Europe\n")
    assert {one.wrong for one in mistakes(small, tmp_path / "t.yaml")} == {"has a leaf twice"}
