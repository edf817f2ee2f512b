"""`presence` of groups that Mondrian forms: what the published texts tell of everyone in the population.

The checker reads texts as somebody would who has the release, the hierarchy and the population, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from processors.anonymize.generalize import Generalize
from processors.anonymize.protocol import Leaving
from processors.anonymize.runner import CompiledMethods, compile_methods
from schemas.errors import Fatal
from schemas.task.model import Column, Method

TREE = [
    ["Oslo", "Norway", "North", "World"], ["Bergen", "Norway", "North", "World"], ["Malmo", "Sweden", "North", "World"],
    ["Turku", "Finland", "North", "World"], ["Rome", "Italy", "South", "World"], ["Pisa", "Italy", "South", "World"],
    ["Quito", "Ecuador", "West", "World"],
]  # fmt: skip
CITIES = [row[0] for row in TREE]
PETS = ["ant", "bee", "cat", "dog"]
COLUMNS = {
    "age": {"type": "int64"}, "city": {"type": "string"}, "pet": {"type": "string"}, "who": {"type": "string"},
    "ill": {"type": "string"},
}  # fmt: skip
QUASI = ("age", "city", "pet")
Person = tuple[int | None, str | None, str | None]
Row = tuple[int | None, str | None, str | None, str | None, str]


def methods_of(**options: Any) -> CompiledMethods:
    columns = {name: Column.model_validate(raw) for name, raw in COLUMNS.items()}
    grain = {"age": {"step": 5, "min": 20, "max": 79}, "city": {"rows": TREE}}
    by: dict[str, Any] = {"method": "generalize", "quasi_identifiers": list(QUASI), "grain": grain}
    return compile_methods("t", columns, [Method(**{**by, **options})], {"generalize": Generalize})


def formed(rows: Sequence[Row], people: Sequence[Person], window: bool = False, **options: Any) -> Leaving:
    schema = {"age": pl.Int64, "city": pl.String, "pet": pl.String, "who": pl.String, "ill": pl.String}
    table = pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(pl.int_range(len(rows)).alias("row"))
    known = pl.DataFrame(list(people), schema={name: schema[name] for name in QUASI}, orient="row")
    return methods_of(**options).leaving(table, table["row"], bytes(32), window, {"citizen": known})


def tried(rows: Sequence[Row], people: Sequence[Person], **options: Any) -> tuple[Leaving | None, str]:
    """(what leaves, why nothing does)."""
    try:
        return formed(rows, people, **options), ""
    except Fatal as error:
        return None, str(error)


def asked(*delta: float, **more: Any) -> dict[str, Any]:
    return {"k": 2, "presence": {"population": {"table": "citizen"}, "delta": list(delta)}, **more}


def covers(text: str | None, value: Any, name: str) -> bool:
    """Whether the text may stand for the value."""
    if text is None:
        return value is None
    if text.startswith("null|"):
        return value is None or covers(text.removeprefix("null|"), value, name)
    if value is None:
        return False
    if text == "*":
        return True
    if name == "city":
        return text == "World" or any(row[0] == value and text in row for row in TREE)
    if name == "pet":
        return value in text.split("|")
    if text.startswith("<"):
        return bool(value < int(text[1:]))
    if text.startswith(">="):
        return bool(value >= int(text[2:]))
    low, _, high = text.partition("..")
    return int(low) <= value <= int(high or low)


def shares(
    out: pl.DataFrame, rows: Sequence[Row], people: Sequence[Person], subjects: bool = False
) -> dict[tuple[Any, ...], float]:
    """Of each group by its texts, how many of the people whom they cover the table has."""
    groups: defaultdict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for row in out.to_dicts():
        texts = tuple(row[name] for name in QUASI)
        before = rows[row["row"]]
        assert all(map(covers, texts, before, QUASI)), (texts, before)
        groups[texts].add(before[3] if subjects else row["row"])
    known = dict.fromkeys(groups, 0)
    for person in people:
        mine = [texts for texts in groups if all(map(covers, texts, person, QUASI))]
        assert len(mine) <= 1, f"{person} may be in {mine}"
        for texts in mine:
            known[texts] += 1
    return {texts: len(inside) / known[texts] for texts, inside in groups.items()}


def uncovered(out: pl.DataFrame, people: Sequence[Person]) -> int:
    groups = out.select(QUASI).unique().rows()
    return sum(not any(all(map(covers, texts, person, QUASI)) for texts in groups) for person in people)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], list[Person]]:
    """Rows of some of a population's people, and the population: more of the old, and of some cities."""
    random, odd = draw(st.randoms(use_true_random=False)), draw(st.sampled_from([0.0, 0.0, 0.05, 0.3]))
    cities, pets = draw(st.sampled_from([CITIES, CITIES[:4], CITIES[:1]])), draw(st.sampled_from([PETS, PETS[:1]]))
    likely, slope = draw(st.sampled_from([0.1, 0.4, 0.7, 1.0])), draw(st.sampled_from([0.0, 0.5]))

    def one(usual: Any, *others: Any) -> Any:
        return random.choice(others) if random.random() < odd else usual

    people, rows = list[Person](), list[Row]()
    for n in range(draw(st.sampled_from([1, 5, 30, 100, 200]))):
        age = one(random.randrange(20, 80), None, 17, 85)
        people.append((age, one(random.choice(cities), None, "Atlantis"), one(random.choice(pets), None)))
        if random.random() < likely - slope * ((age or 50) - 20) / 60:
            rows += [(*people[-1], f"w{n}", random.choice(["flu", "cold"])) for _ in range(random.choice([1, 1, 2]))]
    random.shuffle(rows)
    return rows, random.sample(people, len(people))


DELTA = st.sampled_from([(0.0, 0.5), (0.0, 0.8), (0.0, 1.0), (0.2, 0.9), (0.3, 1.0), (0.5, 0.6)])


@settings(max_examples=150, deadline=None)
@given(tables(), DELTA, st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_texts_tell_of_nobody_more_or_less_than_asked(
    made: tuple[list[Row], list[Person]], delta: tuple[float, float], limit: float, diverse: bool
) -> None:
    rows, people = made
    limit = limit if delta[0] == 0 else 0.0
    l = [{"column": "ill", "l": 2}] if diverse else []  # noqa: E741
    whole = len({row[3] for row in rows})
    fits = delta[0] <= whole / len(people) <= delta[1]
    keeps = whole >= 2 and (not diverse or len({row[4] for row in rows}) == 2)
    found, told = tried(rows, people, **asked(*delta, subject="who", suppression_limit=limit, l=l))
    if found is None:
        assert not (fits and keeps), told
        assert fits or not whole or "presence of at " in told
        return
    if not rows:
        assert delta[0] == 0
        return
    assert keeps
    assert fits or limit > 0
    out = found.rows
    assert out.height >= (1 - limit) * len(rows) - 1e-9
    if limit == 0:
        assert out.height == len(rows)
    by_group = shares(out, rows, people, subjects=True)
    event(f"{min(len(by_group), 4)} groups")
    assert all(delta[0] <= share <= delta[1] for share in by_group.values())
    assert found.presence == pytest.approx((min(by_group.values()), max(by_group.values())))
    for _, group in out.group_by(QUASI):
        assert group["who"].n_unique() >= 2
        assert not diverse or group["ill"].n_unique() == 2
    if delta[0] > 0:
        assert uncovered(out, people) == 0
