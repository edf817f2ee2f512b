"""What noise can't be had for is refused where it stands in the file, with what would be right."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from control_api.composition import components
from docs.pages import read_page
from processors.aggregate.noise_plan import noise_of
from schemas.task.load import lint_text

TASK = """\
task: visits
mode: snapshot
tables:
  visit:
    columns:
      id:   {type: int64}
      who:  {type: string}
      city: {type: string}
      day:  {type: date}
      room: {type: int64}
      paid: {type: decimal}
    primary_key: {column: id, conflicts: drop_all}
    sources: {feed: {connector: csv, path: visits.csv}}
  told:
    from: {visit: {}}
    transform:
      - aggregate:
          by: [visit.city, visit.day, visit.room]
          columns: {visits: count(*), paid: sum(visit.paid)}
          noise:
            budget: people
            epsilon: 1
            subject: visit.who
            at_most: 3
            bounds: {paid: {min: 0, max: 500}}
            categories: {visit.city: [Oslo, Rome], visit.day: [2024-02-29], visit.room: [1, 2]}
"""
MORE = "            categories:"
NOISE = "tables.told.transform[0].aggregate.noise"
COLUMNS = "tables.told.transform[0].aggregate.columns"
ABOVE = """\
  sums:
    from: {visit: {}}
    transform:
      - aggregate: {by: [visit.who, visit.city, visit.day, visit.room], columns: {paid: sum(visit.paid)}}
"""
ROOT = Path(__file__).parents[3]
SHOP = """\
task: shop
tables:
  customer:
    columns: {id: {type: int64}, city: {type: string}}
    primary_key: {column: id, conflicts: drop_all}
    sources: {feed: {connector: csv, path: customers.csv}}
  order:
    columns: {customer: {type: int64}, amount: {type: decimal}}
    sources: {feed: {connector: csv, path: orders.csv}}
  told:
    from: {order: {join: {customer: customer}}}
    transform:
"""
CASES = [
    ("mode: snapshot", "mode: continuous", NOISE, "charged for every epoch", "make the task mode: snapshot"),
    ("bounds: {paid: {min: 0, max: 500}}", "bounds: {}", f"{NOISE}.bounds", "paid has no bounds", "min: ..., max: ..."),
    ("{paid: {min: 0", "{visits: {min: 0, max: 1}, paid: {min: 0", f"{NOISE}.bounds.visits", "no sum", "bound paid"),
    ("min: 0, max: 500", "min: 9, max: 5", f"{NOISE}.bounds.paid.min", "above upper", "hold a value"),
    ("min: 0, max: 500", "min: .nan, max: 5", f"{NOISE}.bounds.paid.min", "nan", "less than"),
    ("max: 500}", "max: 500, step: 0}", f"{NOISE}.bounds.paid.step", "0", "greater than 0"),
    ("max: 500}", "max: 500, step: 1e-10}", f"{NOISE}.bounds.paid.step", "no multiple of 1e-09", "coarser"),
    ("max: 500}", "max: 1e300}", f"{NOISE}.bounds.paid.max", "1e+300", "less than or equal to 1000000000000000"),
    ("max: 500}", "max: 1e15, step: 1e-5}", f"{NOISE}.bounds.paid.step", "too fine", "larger step"),
    (
        ", visit.room: [1, 2]}",
        "}",
        f"{NOISE}.categories",
        "categories of visit.room are not named",
        "visit.room: [...]",
    ),
    ("[1, 2]", "[]", f"{NOISE}.categories.visit.room", "no category", "every value"),
    ("[1, 2]", "[1, 2, 1]", f"{NOISE}.categories.visit.room[2]", "named twice", "once"),
    ("[1, 2]", "[1, two]", f"{NOISE}.categories.visit.room[1]", "'two' is no int64", "write a int64"),
    ("[2024-02-29]", "[2023-02-29]", f"{NOISE}.categories.visit.day[0]", "no date", "as in 2024-02-29"),
    ("{visit.city: [Oslo", "{visit.who: [a], visit.city: [Oslo", f"{NOISE}.categories.visit.who", "not grouped by", ""),
    ("[1, 2]", f"{list(range(6000))}", f"{NOISE}.categories", "12,000 groups", "10,000 groups at most"),
    (
        "room: {type: int64}",
        "room: {type: float64}",
        f"{NOISE}.categories.visit.room",
        "of type float64",
        "int64, bool",
    ),
    ("count(*)", "max(visit.room)", f"{COLUMNS}.visits", "can't be told", "least or the greatest"),
    ("count(*)", "avg(visit.room)", f"{COLUMNS}.visits", "can't be told", "divide them"),
    ("count(*)", "count(distinct visit.who)", f"{COLUMNS}.visits", "can't be told", "at_most: 1"),
    ("subject: visit.who", "subject: visit.whom", f"{NOISE}.subject", "no column visit.whom", "visit.who"),
    ("subject: visit.who", "subject: lower(visit.who)", f"{NOISE}.subject", "is no column", "derive a column"),
    ("            subject: visit.who\n", "", f"{NOISE}.at_most", "without a subject", "name the subject"),
    ("at_most: 3", "at_most: 0", f"{NOISE}.at_most", "0", "greater than or equal to 1"),
    ("epsilon: 1", "epsilon: 0", f"{NOISE}.epsilon", "0", "greater"),
    ("epsilon: 1", "epsilon: 51", f"{NOISE}.epsilon", "51", "less than or equal to 50"),
    ("epsilon: 1", "epsilon: 1e-9", f"{NOISE}.epsilon", "tells nothing", "1e-9"),
    ("epsilon: 1", "epsilon: 1\n            delta: 0.1", f"{NOISE}.delta", "0.1", "0.001"),
    ("            budget: people\n", "", NOISE, "budget is missing", "budget"),
    ("            budget", "            seed: 7\n            budget", f"{NOISE}.seed", "not known", ""),
]


def mistakes(text: str, folder: Path) -> list[tuple[str, str, str]]:
    _, found = lint_text(folder / "task.yaml", text, components())
    return [(one.path, one.wrong, one.right) for one in found if one.severity == "error"]


@pytest.mark.parametrize(("there", "instead", "path", "wrong", "right"), CASES, ids=[case[1][:30] for case in CASES])
def test_what_can_t_be_private_is_refused_where_it_stands(
    tmp_path: Path, there: str, instead: str, path: str, wrong: str, right: str
) -> None:
    assert TASK.count(there) == 1
    found = mistakes(TASK.replace(there, instead), tmp_path)
    assert len(found) == 1, found
    assert found[0][0] == path
    assert wrong in found[0][1]
    assert right in found[0][2]


def test_a_task_as_it_should_be_has_no_mistake_and_a_group_for_each_combination(tmp_path: Path) -> None:
    task, found = lint_text(tmp_path / "task.yaml", TASK, components())
    assert found == []
    assert task is not None
    plan = noise_of("told", task)
    assert plan is not None
    assert plan.cells.height == 4
    assert [question.kind for question in plan.questions.values()] == ["histogram", "sum"]


def test_what_the_page_shows_is_right(tmp_path: Path) -> None:
    blocks = read_page((ROOT / "docs" / "expressions.md").read_text()).blocks
    (block,) = [one for one in blocks if one.language == "yaml" and "noise" in one.code]
    task, found = lint_text(
        tmp_path / "task.yaml", SHOP + indent(f"- {indent(block.code, '  ')[2:]}", " " * 6), components()
    )
    assert found == []
    plan = noise_of("told", task) if task else None
    assert plan is not None
    assert plan.cells["city"].to_list() == ["Bonn", "Oslo", "Rome"]


def test_noise_of_aggregates_or_besides_methods_is_refused(tmp_path: Path) -> None:
    of_sums = TASK.replace("from: {visit: {}}", "from: {sums: {}}").replace("visit.who", "sums.who") + ABOVE
    for name in ("city", "day", "room", "paid"):
        above, below = of_sums.split("  sums:")
        of_sums = f"{above.replace(f'visit.{name}', f'sums.{name}')}  sums:{below.replace('sums.who', 'visit.who')}"
    found = mistakes(of_sums, tmp_path)
    assert [one[0] for one in found] == [NOISE], found
    assert "rows of sums are aggregates" in found[0][1]
    found = mistakes(TASK + "    anonymize:\n      - {method: suppress, columns: [city]}\n", tmp_path)
    assert [one[0] for one in found] == [NOISE]
    assert "leave out anonymize" in found[0][2]
