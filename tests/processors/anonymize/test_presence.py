"""`presence` of groups that Mondrian forms: what the published texts tell of everyone in the population.

The checker reads texts as somebody would who has the release, the hierarchy and the population, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random
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


def made_of(*parts: tuple[Person, int, int]) -> tuple[list[Row], list[Person]]:
    """Of each kind of person how many there are, and how many of them are in the table."""
    people = [person for person, many, _ in parts for _ in range(many)]
    rows: list[Row] = [(*person, None, "flu") for person, _, there in parts for _ in range(there)]
    return rows, people


def texts(found: Leaving, name: str) -> set[Any]:
    return set(found.rows[name])


def test_a_cut_is_taken_only_where_both_sides_keep_it() -> None:
    each: list[Any] = [((age, "Oslo", "ant"), 20, there) for age, there in ((32, 5), (47, 5), (62, 11), (77, 3))]
    rows, people = made_of(*each)
    all_four = formed(rows, people, **asked(0, 0.55))
    assert texts(all_four, "age") == {"30..34", "45..49", "60..64", "75..79"}
    assert all_four.presence == (0.15, 0.55)
    three = formed(rows, people, **asked(0, 0.5))
    assert texts(three, "age") == {"30..34", "45..49", "60..79"}
    assert three.presence == (0.25, 0.35)
    assert texts(formed(rows, people, **asked(0.16, 0.6)), "age") == {"30..34", "45..49", "60..79"}
    assert texts(formed(rows, people, **asked(0.26, 0.6)), "age") == {"30..79"}


def test_a_name_of_a_hierarchy_covers_nobody_of_another_group() -> None:
    each: list[Any] = [((30, city, "ant"), 8, 4) for city in ("Oslo", "Malmo", "Turku", "Rome", "Quito")]
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {"Oslo", "Malmo", "Turku", "Rome", "Quito"}
    each[1] = ((30, "Malmo", "ant"), 8, 5)  # too surely there, so its region is told whole
    assert texts(formed(*made_of(*each), **asked(0, 0.63)), "city") == {"Oslo", "Malmo", "Turku", "Rome", "Quito"}
    assert texts(formed(*made_of(*each), **asked(0, 0.55)), "city") == {"North", "Rome", "Quito"}


def test_a_value_that_the_hierarchy_lacks_keeps_its_groups_whole() -> None:
    each: list[Any] = [((30, "Oslo", "ant"), 8, 4), ((30, "Rome", "ant"), 8, 4), ((30, "Atlantis", "ant"), 8, 4)]
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {"World"}
    each[2] = ((30, "Atlantis", "ant"), 8, 0)  # whom no group covers isn't in the table
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {"Oslo", "Rome"}
    assert texts(formed(*made_of(*each), **asked(0.1, 0.5)), "city") == {"World"}, "everyone is covered"


def test_nulls_are_covered_where_they_are_told() -> None:
    each: list[Any] = [((30, None, "ant"), 8, 4), ((30, "Oslo", "ant"), 8, 4), ((30, "Rome", "ant"), 8, 4)]
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {None, "Oslo", "Rome"}
    each[0] = ((30, None, "ant"), 2, 1)  # fewer than k
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {"null|Oslo", "Rome"}
    each[1:] = [((30, "Oslo", "ant"), 8, 7), ((30, "Rome", "ant"), 8, 1)]
    assert texts(formed(*made_of(*each), **asked(0, 0.5)), "city") == {"null|World"}


def test_groups_are_named_after_their_own_rows_where_that_is_unsure_enough() -> None:
    rows, people = made_of(((25, "Oslo", "ant"), 6, 0), ((30, "Oslo", "ant"), 6, 4), ((40, "Oslo", "ant"), 8, 0))
    near = formed(rows, people, **asked(0, 0.7))
    assert (texts(near, "age"), near.presence) == ({"30..34"}, (4 / 6, 4 / 6))
    wide = formed(rows, people, **asked(0, 0.5))
    assert (texts(wide, "age"), wide.presence) == ({"25..44"}, (0.2, 0.2))
    assert texts(formed(rows, people, **asked(0.1, 0.7)), "age") == {"25..44"}, "everyone is covered"


def test_many_values_without_a_hierarchy_are_told_in_runs() -> None:
    pets = [f"p{n:03}" for n in range(96)]
    rows, people = made_of(*(((30, "Oslo", pet), 4, 2) for pet in pets))
    found = formed(rows, people, **asked(0, 0.5, k=20))
    assert "*" not in texts(found, "pet")
    by_group = shares(found.rows, rows, people)
    assert set(by_group.values()) == {0.5}
    assert len(by_group) >= 6
    rows, people = made_of(*(((30, "Oslo", pet), 4, 3 if pet < "p032" else 1) for pet in pets))
    assert texts(formed(rows, people, **asked(0, 0.5, k=20)), "pet") == {"*"}, "a run has three of four"
    rows, people = made_of(*(((30, "Oslo", pet), 4, 2 if "p020" < pet < "p060" else 0) for pet in pets))
    found = formed(rows, people, **asked(0, 0.5, k=70))
    assert (texts(found, "pet"), found.presence) == ({"*"}, (78 / 384, 78 / 384)), "whom the name covers counts"


def test_outliers_are_left_out_only_where_what_is_left_is_unsure_enough() -> None:
    crowd = [((30 + n % 5, "Oslo", "ant"), 6, 3) for n in range(5)]
    rows, people = made_of(*crowd, ((78, "Oslo", "ant"), 40, 1))
    limited = asked(0, 0.6, suppression_limit=0.1, k=15)
    found = formed(rows, people, **limited)
    assert (texts(found, "age"), found.rows.height, found.presence) == ({"30..34"}, 15, (0.5, 0.5))
    limited["presence"]["delta"] = [0, 0.45]
    kept = formed(rows, people, **limited)
    assert (texts(kept, "age"), kept.rows.height, kept.presence) == ({"30..79"}, 16, (16 / 70, 16 / 70))


def test_what_would_be_needed_is_told() -> None:
    rows, people = made_of(((30, "Oslo", "ant"), 10, 6), ((60, "Rome", "bee"), 10, 6))
    with pytest.raises(Fatal) as caught:
        formed(rows, people, **asked(0, 0.5))
    told = "presence of at most 0.5 can't be kept: the table has 60.00% of the population; give 0.6 or more"
    assert str(caught.value) == f"no groups keep what is asked for: {told}\nor let 16.67% of the rows be suppressed"
    with pytest.raises(Fatal, match=r"at least 0.7 can't be kept: the table has 60.00% .*; give 0.6 or less$"):
        formed(rows, people, **asked(0.7, 1))
    with pytest.raises(Fatal, match=r"at most 0.5 can't be kept: .*; give 0.6 or more$"):
        formed(rows, people, **asked(0.1, 0.5))
    assert formed(rows, people, True, **asked(0, 0.5)).rows.height == 0, "nothing is shown as long as it can't be kept"
    found = formed(rows, people, **asked(0, 0.5, suppression_limit=0.17))
    assert (found.rows.height, found.left_out, found.presence) == (10, {"generalize": 2}, (0.5, 0.5))
    assert formed(rows, people, **asked(0, 0.6)).presence == (0.6, 0.6)


def test_people_are_left_out_with_all_their_records() -> None:
    people: list[Person] = [(30, "Oslo", "ant")] * 10
    rows: list[Row] = [(*people[0], f"w{n % 6}", "flu") for n in range(18)]
    found = formed(rows, people, **asked(0, 0.4, subject="who", suppression_limit=0.4))
    assert (found.rows["who"].n_unique(), found.rows.height, found.presence) == (4, 12, (0.4, 0.4))


@pytest.mark.parametrize(
    ("rows", "people", "told"),
    [
        (
            [(30, "Oslo", "ant", "a", "flu")] * 2,
            [(30, "Rome", "ant")] * 9,
            "population lacks 1 of the table's subjects",
        ),
        ([(30, "Oslo", "ant", None, "flu")], [(30, "Oslo", "ant")], "1 of the table's records tell no subject"),
        (
            [(30, "Oslo", "ant", "a", "flu"), (60, "Oslo", "ant", "a", "flu")],
            [(30, "Oslo", "ant"), (60, "Oslo", "ant")],
            "1 of the table's subjects have records with several quasi-identifiers; give each subject the same",
        ),
        (
            [(30, "Oslo", "ant", "a", "flu")],
            [(30, "Oslo", "ant"), (30, "Oslo", "ant|bee")],
            r"has values that can't be told from names of several: .*; give it a hierarchy",
        ),
    ],
)
def test_what_nobody_could_be_unsure_by_is_refused(rows: list[Row], people: list[Person], told: str) -> None:
    with pytest.raises(Fatal, match=f"no groups can be looked for: .*{told}"):
        formed(rows, people, **asked(0, 1, subject="who"))


@pytest.mark.parametrize("twice", [["Oslo", "North"], ["Norway", "World"], ["Oslo", "*"], ["Norway", "null|North"]])
def test_a_name_that_stands_for_several_groups_is_refused_before_the_run(wrong: Any, twice: list[str]) -> None:
    tree = [[twice[1] if cell == twice[0] else cell for cell in row] for row in TREE]
    by = {"method": "generalize", "quasi_identifiers": ["city"], "grain": {"city": {"rows": tree}}}
    (found,) = wrong(COLUMNS, {**by, **asked(0, 1)})
    assert found.startswith("0.grain.city.hierarchy: has a name that stands for several groups"), found
    assert found.endswith("give each group a name of its own")
    methods_of(grain={"city": {"rows": [["Oslo", "Oslo", "*"], ["Rome", "Italy", "*"]]}}, **asked(0, 1))


def test_the_order_of_rows_and_people_does_not_matter() -> None:
    random = Random(5)
    people: list[Person] = [(random.randrange(20, 80), random.choice(CITIES), random.choice(PETS)) for _ in range(400)]
    rows: list[Row] = [(*person, f"w{n}", "flu") for n, person in enumerate(people) if random.random() < 0.4]
    before = formed(rows, people, **asked(0, 0.6, subject="who"))
    random.shuffle(people)
    turned = rows[::-1]
    after = formed(turned, people, **asked(0, 0.6, subject="who"))
    assert before.rows.drop("row").sort("who").equals(after.rows.drop("row").sort("who"))
    assert before.presence == after.presence
