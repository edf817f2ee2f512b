"""Compiled methods: types, mistakes, the contract."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from processors.anonymize.runner import CompiledMethods

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
