"""`generalize` with `search: full_domain`: one level for each column, the best of those that keep what is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.generalize import Generalize
from processors.anonymize.runner import CompiledMethods, compile_methods
from processors.privacy.search.costs import COSTS
from schemas.errors import Fatal
from schemas.task.model import Column, Method
from tests.oracle.properties import within

WrongFor = Callable[..., list[str]]
COLUMNS = {"age": {"type": "int64"}, "city": {"type": "string"}, "who": {"type": "string"}, "ill": {"type": "string"}}
CITIES = [["Oslo", "Norway", "North", "*"], ["Bergen", "Norway", "North", "*"], ["Malmo", "Sweden", "North", "*"],
          ["Rome", "Italy", "South", "*"]]  # fmt: skip
STEPS = (5, 10, 50)
BY: dict[str, Any] = {
    "method": "generalize", "search": "full_domain", "quasi_identifiers": ["age", "city"],
    "grain": {"age": {"steps": list(STEPS)}, "city": {"rows": CITIES}},
}  # fmt: skip
Row = tuple[int | None, str | None, str, str]
Person = tuple[int | None, str | None]
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 99)),
        st.sampled_from(["Oslo", "Bergen", "Malmo", "Rome", None]),
        st.sampled_from("abcdefgh"),
        st.sampled_from(["flu", "cold", "none"]),
    ),
    min_size=1,
    max_size=40,
)


def methods_of(**options: Any) -> CompiledMethods:
    columns = {name: Column.model_validate(raw) for name, raw in COLUMNS.items()}
    return compile_methods("t", columns, [Method(**{**BY, **options})], {"generalize": Generalize})


def table_of(rows: list[Row]) -> pl.DataFrame:
    schema = {"age": pl.Int64, "city": pl.String, "who": pl.String, "ill": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.int_range(len(rows)).alias("row"))


def formed(
    rows: list[Row], window: bool = False, people: Sequence[Person] | None = None, **options: Any
) -> pl.DataFrame:
    table, others = table_of(rows), {}
    if people is not None:
        schema = {"age": pl.Int64, "city": pl.String}
        others["citizen"] = pl.DataFrame(list(people), schema=schema, orient="row")
    out, beside = methods_of(**options).form(table, table["row"], bytes(32), window, others)
    assert beside is None
    return out


def at(value: Any, column: str, level: int) -> tuple[str | None, float]:
    """(what the value is called, what its cell costs), by the book."""
    if column == "city":
        if value is None:
            return (None, 0.0) if level < 3 else ("*", 1.0)
        name = next(row[level] for row in CITIES if row[0] == value)
        below = sum(row[level] == name for row in CITIES)
        return name, 0.0 if below == 1 else below / len(CITIES)
    if level == len(STEPS):
        return "*", 1.0
    if value is None:
        return None, 0.0
    step = STEPS[level]
    return f"{value // step * step}", step


def extent_of(people: Sequence[Person | Row]) -> int:
    """Of all cells that there are."""
    ages = [one[0] for one in people if one[0] is not None]
    return (max(ages) // 5 - min(ages) // 5 + 1) * 5 - 1 if ages else 0


def least_loss(
    rows: list[Row],
    limit: float,
    kept: Callable[[list[Row]], bool],
    people: Sequence[Person] = (),
    delta: tuple[float, float] = (0.0, 1.0),
) -> float | None:
    """Of all pairs of levels; a suppressed record loses all. Numbers: extents over that of all cells."""
    extent, best = extent_of([*rows, *people]), None
    for up_age, up_city in product(range(len(STEPS) + 1), range(4)):
        groups: defaultdict[Any, list[Row]] = defaultdict(list)
        for row in rows:
            groups[at(row[0], "age", up_age)[0], at(row[1], "city", up_city)[0]].append(row)
        known = Counter((at(age, "age", up_age)[0], at(city, "city", up_city)[0]) for age, city in people)
        if delta[0] > 0 and any(name not in groups for name in known):
            continue
        failing = {
            name
            for name, group in groups.items()
            if not kept(group) or (people and not delta[0] <= len(group) / known[name] <= delta[1])
        }
        gone = [row for name in failing for row in groups[name]]
        if len(gone) > limit * len(rows):
            continue
        lost = float(len(gone))
        for name, group in groups.items():
            for age, city, *_ in group if name not in failing else ():
                wide = at(age, "age", up_age)[1]
                own = wide if wide in (0.0, 1.0) else min(1.0, (wide - 1) / extent)
                lost += (own + at(city, "city", up_city)[1]) / 2
        best = min(lost / len(rows), lost / len(rows) if best is None else best)
    return best


def loss_of(rows: list[Row], out: pl.DataFrame, people: Sequence[Person] = ()) -> float:
    extent = extent_of([*rows, *people])
    lost = float(len(rows) - out.height)
    for row in out.to_dicts():
        name = row["age"]
        if name is not None:
            wide = 1.0 if name.endswith("*") else (int(name.split("..")[1]) - int(name.split("..")[0])) / extent
            lost += min(1.0, wide) / 2
        if row["city"] is not None:
            below = max(sum(row["city"] == line[level] for line in CITIES) for level in range(4))
            lost += (1.0 if row["city"].endswith("*") else 0.0 if below == 1 else below / 4) / 2
    return lost / len(rows)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.booleans(), st.integers(2, 4), st.sampled_from([0.0, 0.2]))
def test_it_is_the_best_of_all_levels_that_keep_k(rows: list[Row], subjects: bool, k: int, limit: float) -> None:
    def kept(group: list[Row]) -> bool:
        return (len({row[2] for row in group}) if subjects else len(group)) >= k

    options: dict[str, Any] = {"k": k, "suppression_limit": limit, **({"subject": "who"} if subjects else {})}
    best = least_loss(rows, limit, kept)
    if best is None:
        with pytest.raises(Fatal, match="no groups keep what is asked for: k = "):
            formed(rows, **options)
        assert formed(rows, window=True, **options).height == 0
        return
    out = formed(rows, **options)
    called: dict[Any, set[Any]] = {}
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in out.to_dicts():
        before = rows[row["row"]]
        groups[row["age"], row["city"]].append(before)
        for name, value in zip(("age", "city"), before, strict=False):
            assert within(row[name], value) or name == "city"
            called.setdefault((name, value), set()).add(row[name])
    assert all(kept(group) for group in groups.values())
    assert all(len(names) == 1 for names in called.values()), "one value, one level"
    assert loss_of(rows, out) == pytest.approx(best)


DELTA = st.sampled_from([(0.0, 0.5), (0.0, 0.8), (0.3, 0.9), (0.5, 1.0)])
MORE = st.lists(st.tuples(st.integers(0, 120), st.sampled_from(["Oslo", "Bergen", "Malmo", "Rome"])), max_size=40)


@settings(max_examples=80, deadline=None)
@given(ROWS, MORE, DELTA, st.sampled_from([0.0, 0.2]))
def test_nobody_of_a_population_is_in_the_table_too_surely(
    rows: list[Row], more: list[Person], delta: tuple[float, float], limit: float
) -> None:
    people = [*((age, city) for age, city, *_ in rows), *more]
    if delta[0] > 0:
        limit = 0.0
    options: dict[str, Any] = {"k": 2, "suppression_limit": limit}
    options["presence"] = {"population": {"table": "citizen"}, "delta": list(delta)}
    best = least_loss(rows, limit, lambda group: len(group) >= 2, people, delta)
    if best is None:
        with pytest.raises(Fatal, match="no groups keep what is asked for"):
            formed(rows, people=people, **options)
        return
    out = formed(rows, people=people, **options)
    assert loss_of(rows, out, people) == pytest.approx(best)


def test_presence_counts_people_where_it_is_told_whose_records_they_are() -> None:
    rows: list[Row] = [(30, "Oslo", who, "flu") for who in "aabbcc"]
    asked = {"k": 2, "presence": {"population": {"table": "citizen"}, "delta": [0, 0.5]}}
    people = [(30, "Oslo")] * 6
    assert formed(rows, people=people, subject="who", **asked).height == 6
    with pytest.raises(Fatal, match=r"presence can't be kept within its bounds: from 0 to 1 it can"):
        formed(rows, people=people, **asked)


def test_a_population_has_everyone() -> None:
    rows: list[Row] = [(30, "Oslo", "a", "flu")] * 3
    asked = {"k": 2, "presence": {"population": {"table": "citizen"}, "delta": [0, 0.9]}}
    for people in ([(30, "Oslo")] * 2, [(30, "Rome")] * 5, []):
        with pytest.raises(
            Fatal, match=r"the population lacks [13] of the table's records; give one that has everyone"
        ):
            formed(rows, people=people, **asked)
        assert formed(rows, window=True, people=people, **asked).height == 0
    assert formed(rows, window=True, people=[(30, "Oslo")] * 4, **asked).height == 3
    assert formed([], people=[], **asked).height == 0


@settings(max_examples=80, deadline=None)
@given(ROWS, st.sampled_from(["full_domain", "mondrian"]))
def test_sensitive_values_are_diverse_and_close_in_every_group(rows: list[Row], search: str) -> None:
    asked: dict[str, Any] = {"k": 2, "l": [{"column": "ill", "l": 2}], "suppression_limit": 0.3}
    if search == "mondrian":
        asked |= {"search": search, "grain": {}}
    near = [{"column": "ill", "t": 0.3, "distance": "ordered", "order": ["none", "cold"]}]
    try:
        out = formed(rows, **asked, t=near)
    except Fatal:
        assert len({row[3] for row in rows}) < 2 or len(rows) < 2
        return
    whole = Counter(out["ill"])
    domain = ["none", "cold", *({"flu"} & {row[3] for row in rows})]
    for _, group in out.group_by("age", "city"):
        own = Counter(group["ill"])
        assert len(own) >= 2
        running, apart = 0.0, 0.0
        for value in domain:
            running += own[value] / group.height - whole[value] / out.height
            apart += abs(running)
        assert apart / (len(domain) - 1) <= 0.3 + 1e-9


def test_the_loss_that_is_asked_for_chooses_the_levels() -> None:
    draw = Random(11)
    cities = [row[0] for row in CITIES]
    rows: list[Row] = [(draw.choice([3, 7, 12, 18, 33, 60, 80]), draw.choice(cities), "a", "flu") for _ in range(14)]

    def squares(out: pl.DataFrame) -> int:
        return sum(n * n for n in out.group_by("age", "city").len()["len"]) + (14 - out.height) * 14

    def groups(out: pl.DataFrame) -> int:
        return -out.select("age", "city").n_unique() - (out.height < 14)

    found = {loss: formed(rows, k=2, suppression_limit=0.3, loss=loss) for loss in COSTS}
    assert len({str(out.rows()) for out in found.values()}) == 4
    for loss, measured in (("discernibility", squares), ("class_size", groups), ("ncp", partial(loss_of, rows))):
        assert measured(found[loss]) == min(map(measured, found.values())) < max(map(measured, found.values())), loss


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"search": "best"}, "0.search: "),
        ({"search": "mondrian"}, "0.grain.age.steps: are levels, and this search has none; give step"),
        ({"grain": {"age": {"steps": [5, 12]}}}, "0.grain.age.steps: has a step of 12 after 5; give a multiple, as 10"),
        ({"grain": {"age": {"steps": [0.5, 1]}}}, "0.grain.age.steps: is too fine for the column"),
        ({"grain": {"age": {"units": ["day"]}}}, "0.grain.age.units: does not fit a column of type int64"),
        ({"grain": {"age": {"units": ["year", "month"]}}}, "0.grain.age.units: has month after year"),
        ({"grain": {"age": {"step": 5, "steps": [5]}}}, "0.grain.age: says in several ways"),
        ({"search": "mondrian", "loss": "ncp", "grain": {}}, "0.loss: is for nothing; give search: full_domain"),
        ({"loss": "much"}, "0.loss: "),
        ({"presence": {"population": {"table": "x"}}}, "0.presence.delta: "),
        ({"presence": {"population": {"table": "x"}, "delta": [0.5, 0.1]}}, "0.presence.delta: is no range"),
        (
            {"presence": {"population": {"table": "x"}, "delta": [0.1, 0.5]}, "suppression_limit": 0.1},
            "0.presence.delta: asks for somebody of every group to be there, and lets groups be suppressed",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_the_run(wrong: WrongFor, options: dict[str, Any], told: str) -> None:
    (found,) = wrong(COLUMNS, {**BY, "k": 3, **options})
    assert found.startswith(told), found


def test_too_many_levels_are_told() -> None:
    columns = {f"q{i}": Column(type="int64") for i in range(9)}
    method = Method(method="generalize", search="full_domain", quasi_identifiers=list(columns), k=2)
    compiled = compile_methods("t", columns, [method], {"generalize": Generalize})
    table = pl.DataFrame({name: range(100) for name in columns}).with_columns(row=pl.int_range(100))
    with pytest.raises(
        Fatal, match=r"no groups can be looked for: has 134,217,728 combinations of levels.*of q0 first"
    ):
        compiled.form(table, table["row"], bytes(32), False)
