"""`presence` case by case: which cuts are taken, what groups are called, who is left out, what is refused."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from processors.anonymize.protocol import Leaving
from schemas.errors import Fatal
from tests.processors.anonymize.test_presence import (
    CITIES,
    COLUMNS,
    PETS,
    TREE,
    Person,
    Row,
    asked,
    formed,
    methods_of,
    shares,
)


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
            "pet has values that look like names of several, of everything or of null: .*; give pet a hierarchy",
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


def by_levels(**options: Any) -> dict[str, Any]:
    return {"search": "full_domain", "grain": {"city": {"rows": TREE}}, **options}


def test_levels_ask_the_same_of_a_population() -> None:
    moved: list[Row] = [(n, "Oslo", "ant", "a", "flu") for n in (30, 60)]
    people: list[Person] = [(30, "Oslo", "ant"), (60, "Oslo", "ant")] * 3
    with pytest.raises(Fatal, match="1 of the table's subjects have records with several quasi-identifiers; give each"):
        formed(moved, people, **by_levels(**asked(0, 0.9, subject="who")))
    assert formed(moved, people, True, **by_levels(**asked(0, 0.9, subject="who"))).rows.height == 0
    nobody: list[Row] = [(30, "Oslo", "ant", who, "flu") for who in ("a", None)]
    with pytest.raises(Fatal, match="1 of the table's records tell no subject; leave such records out"):
        formed(nobody, people, **by_levels(**asked(0, 0.9, subject="who")))
    told = formed(
        [(30, "Oslo", "ant", "a", "flu"), (30, "Oslo", "ant", "b", "flu")],
        people,
        **by_levels(**asked(0, 0.9, subject="who", k=2)),
    )
    assert told.presence == (2 / 3, 2 / 3)


@pytest.mark.parametrize("search", ["mondrian", "full_domain"])
def test_a_table_without_records_tells_that_nobody_is_there(search: str) -> None:
    people: list[Person] = [(30, "Oslo", "ant")]
    assert formed([], people, search=search, **asked(0, 0.5)).rows.height == 0
    with pytest.raises(Fatal, match="nobody of the 1 people of the population is in the table; give 0"):
        formed([], people, search=search, **asked(0.1, 0.5))
    assert formed([], [], search=search, **asked(0.1, 0.5)).rows.height == 0
    assert formed([], people, True, search=search, **asked(0.1, 0.5)).rows.height == 0
