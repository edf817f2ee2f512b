"""Compiled methods: types, mistakes, the contract."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.generalize import Generalize
from processors.anonymize.runner import CompiledMethods, compile_methods
from processors.wrong_config import ConfigError
from schemas.errors import Fatal
from schemas.task.model import Column, Kind, Method

KEY = bytes(range(32))
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]


def test_the_contracts_people_task(compiled: Compiled) -> None:
    columns = {
        "name": {"type": "string"},
        "email": {"type": "string"},
        "age": {"type": "int64"},
        "salary": {"type": "float64"},
    }
    methods = compiled(
        columns,
        {"method": "suppress", "columns": ["name"]},
        {"method": "tokenize", "columns": ["email"]},
        {"method": "generalize", "columns": {"age": {"step": 10}}},
        {"method": "perturb", "columns": {"salary": {"relative": 0.05}}},
    )
    assert methods.output_columns == {"name": "string", "email": "string", "age": "int64", "salary": "float64"}
    frame = pl.DataFrame({"name": ["Ada"], "email": ["a@b"], "age": [36], "salary": [100.0], "_id": [5]})
    row = methods.apply(frame, KEY, window=False).row(0, named=True)
    assert row["name"] is None
    assert row["email"].startswith("tok_")
    assert row["age"] == 30
    assert 95 <= row["salary"] <= 105 != row["salary"]
    assert methods.looks == ()


def test_types_change_where_values_become_text(compiled: Compiled) -> None:
    columns = {name: {"type": "int64"} for name in "abc"}
    methods = compiled(
        columns, {"method": "tokenize", "columns": ["a"]}, {"method": "mask", "columns": {"b": {"keep_last": 1}}}
    )
    assert methods.output_columns == {"a": "string", "b": "string", "c": "int64"}


def test_mistakes_name_place_and_remedy_all_at_once(wrong: WrongFor) -> None:
    columns = {"a": {"type": "int64"}, "b": {"type": "string"}}
    told = wrong(
        columns,
        {"method": "blur", "columns": ["a"]},
        {"method": "suppress", "columns": ["a", "z"]},
        {"method": "generalize", "columns": {"b": {"step": 10}}},
        {"method": "perturb", "columns": {"a": {"relative": 0.1, "absolute": 1}}},
        {"method": "mask", "columns": {"b": {"keep_last": 10}}},
        {"method": "generalize", "quasi_identifiers": ["a"]},
        {"method": "tokenize", "columns": []},
    )
    assert told[0].startswith("0.method: blur is no method; methods are anatomize, generalize, mask")
    assert told[1] == "1.columns.1: z is no column of the table; columns are a, b"
    assert told[2] == "2.columns.b: b is of type string; fits decimal, float64, int64"
    assert told[3].startswith("3.columns.a: says neither or both of relative and absolute")
    assert told[4].startswith("4.columns.b.length: has a length that leaves nothing to hide")
    assert told[5].startswith("5: has no k")
    assert told[6].startswith("6.columns: does not fit; list should have at least 1 item")
    assert len(told) == 7


def test_a_column_with_two_methods_is_a_mistake(wrong: WrongFor) -> None:
    columns = {"a": {"type": "int64"}}
    told = wrong(
        columns,
        {"method": "suppress", "columns": ["a"]},
        {"method": "generalize", "quasi_identifiers": ["a"], "k": 2},
    )
    assert told == ["1.columns: a already has the method suppress; give every column one method"]


def test_a_table_is_grouped_once(wrong: WrongFor) -> None:
    told = wrong(
        {"a": {"type": "int64"}, "b": {"type": "int64"}},
        {"method": "generalize", "quasi_identifiers": ["a"], "k": 2},
        {"method": "generalize", "quasi_identifiers": ["b"], "k": 2},
    )
    assert told == ["1.method: the table's records are grouped already; name all quasi-identifiers in one method"]


PEOPLE = {"age": {"type": "int64"}, "city": {"type": "string"}, "ill": {"type": "string"}}
BY_AGE = {"method": "generalize", "quasi_identifiers": ["age"], "k": 3, "grain": {"age": {"step": 10}}}
RARE_CITY = {"method": "suppress", "columns": ["city"], "rarer_than": 2, "records": True}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from("xyz"), st.sampled_from(["flu", "cold"])), min_size=6, max_size=30
    ),
    st.booleans(),
)
def test_records_are_left_out_before_the_others_are_grouped(
    compiled: Compiled, rows: list[tuple[int, str, str]], window: bool
) -> None:
    """Each is counted by the method that left it out; the groups are of what remains."""
    young = {"method": "suppress", "where": "age < 5", "records": True}
    methods = compiled(PEOPLE, {**BY_AGE, "k": 2}, young, RARE_CITY)
    table = pl.DataFrame(rows, schema={"age": pl.Int64, "city": pl.String, "ill": pl.String}, orient="row")
    table = table.with_columns(pl.int_range(len(rows)).alias("row"))
    grown = [row for row in rows if row[0] >= 5]
    stay = [row for row in grown if sum(city == row[1] for _, city, _ in grown) >= 2]
    if len(stay) == 1 and not window:
        with pytest.raises(Fatal, match="k = 2 is more than the 1 rows there are"):
            methods.leaving(table, table["row"], KEY, window)
        return
    found = methods.leaving(table, table["row"], KEY, window)
    assert found.rows.height + sum(found.left_out.values()) == len(rows)
    assert found.left_out.get("suppress", 0) == len(rows) - len(stay)
    assert found.left_out.get("generalize", 0) == (1 if len(stay) == 1 else 0)
    if len(stay) > 1:
        assert sorted(found.rows.select("city", "ill").rows()) == sorted(row[1:] for row in stay)
        assert set(found.rows["age"].value_counts()["count"]) - {0, 1} == set(found.rows["age"].value_counts()["count"])


def test_groups_are_formed_of_cells_as_they_are_published(compiled: Compiled) -> None:
    """A rare illness is emptied first, so it can't be what makes a group diverse."""
    rare = {"method": "suppress", "columns": ["ill"], "rarer_than": 2}
    methods = compiled(PEOPLE, {**BY_AGE, "l": [{"column": "ill", "l": 2}]}, rare)
    table = pl.DataFrame({"age": [1, 2, 3, 11, 12, 13], "city": ["x"] * 6, "ill": ["a", "a", "b", "a", "a", "c"]})
    found = methods.leaving(table.with_row_index("row"), pl.int_range(6, eager=True), KEY, False)
    assert found.rows["ill"].to_list() == ["a", "a", None] * 2
    assert found.rows["age"].to_list() == ["0..9"] * 3 + ["10..19"] * 3
    assert methods.written == {"ill": "string", "age": "string"}
    alike = table.with_columns(ill=pl.Series(["a", "a", "a", "a", "a", "c"]))
    without = compiled(PEOPLE, {**BY_AGE, "l": [{"column": "ill", "l": 2}]}, {**rare, "records": True})
    with pytest.raises(Fatal, match="l = 2 is more than"):
        without.leaving(alike.with_row_index("row"), pl.int_range(6, eager=True), KEY, False)


def test_records_are_left_out_before_a_column_is_set_apart(compiled: Compiled) -> None:
    methods = compiled(PEOPLE, {"method": "anatomize", "sensitive": "ill", "l": 2}, RARE_CITY)
    table = pl.DataFrame(
        {"age": range(5), "city": ["x", "x", "y", "x", "x"], "ill": ["a", "b", "c", "b", "a"], "row": range(5)}
    )
    found = methods.leaving(table, table["row"], KEY, False)
    assert found.left_out == {"suppress": 1}
    assert found.rows["row"].to_list() == [0, 1, 3, 4]
    assert found.linked is not None
    assert found.linked["count"].sum() == 4
    assert methods.written == {"group": "int64"}
    assert methods.looks == ("city", "ill")


def test_another_table_that_a_method_looks_at_is_there() -> None:
    columns = {name: Column.model_validate(raw) for name, raw in PEOPLE.items()}
    presence = {"population": {"table": "citizen"}, "delta": [0, 0.5]}
    method = Method(**BY_AGE, search="full_domain", presence=presence)

    def told(**others: dict[str, Kind]) -> list[str]:
        try:
            compile_methods("person", columns, [method], {"generalize": Generalize}, {"person": {}, **others})
        except ConfigError as error:
            return [str(one) for one in error.mistakes]
        return []

    at = "0.presence.population.table"
    assert told(citizen={"age": Kind("int64")}) == []
    assert told(town={}) == [f"{at}: citizen is no table of the task; name one of town"]
    assert told(citizen={}) == [f"{at}: citizen has no column age; give it the column, of type int64"]
    assert told(citizen={"age": Kind("string")}) == [
        f"{at}: age of citizen is of type string; give it the type that it has in person, int64"
    ]
    own = method.model_copy(update={"presence": {**presence, "population": {"table": "person"}}})
    with pytest.raises(ConfigError, match="is the table itself"):
        compile_methods("person", columns, [own], {"generalize": Generalize}, {"person": {}})
