"""The code in pages does what the pages say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from connectors.sources.contract import Context, frame_schema
from docs.project import Project
from docs.snippets import python_blocks, run_block
from processors.anonymize.runner import compile_methods
from processors.rules.runner import compile_rules
from schemas.columns import IDENTITY, polars_type
from schemas.task.model import Changes, Column, Method

PROJECT = Project(Path(__file__).resolve().parents[2])


def component(module: ModuleType) -> type[Any]:
    (found,) = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return found


def components() -> list[type[Any]]:
    return [component(run_block(block)) for block in python_blocks(PROJECT, "README.md")]


def test_it_fits_on_one_screen() -> None:
    assert len(PROJECT.read("README.md").splitlines()) <= 80


def test_the_rule_does_what_its_examples_say() -> None:
    (rule,) = [one for one in components() if hasattr(one, "apply")]
    for example in rule.examples:
        column = Column.model_validate(example.column)
        frame = pl.DataFrame({"v": pl.Series(example.given, dtype=polars_type(column.type))})
        outcome = compile_rules({"v": column}, {rule.name: rule}).apply(frame)
        assert tuple(outcome.kept["v"]) == example.kept
        assert sum(outcome.dropped.values()) == example.dropped
        assert outcome.read == frame.height


def test_the_method_does_what_its_examples_say() -> None:
    (method,) = [one for one in components() if hasattr(one, "plan")]
    for example in method.examples:
        columns = {name: Column.model_validate(raw) for name, raw in example.columns.items()}
        steps = [Method.model_validate({"method": method.name, **example.options})]
        frame = pl.DataFrame(dict(example.given)).with_row_index(IDENTITY).cast({IDENTITY: pl.Int64})
        given = compile_methods("t", columns, steps, {method.name: method}).apply(frame, bytes(32), window=False)
        assert {name: tuple(given[name]) for name in example.gives} == example.gives


@pytest.fixture
def count() -> type[Any]:
    (block,) = python_blocks(PROJECT, "docs/new-source.md")
    found: type[Any] = run_block(block).Count
    return found


def test_the_source_reads_every_record_once_from_any_position(count: type[Any], tmp_path: Path) -> None:
    columns = {"id": Column(type="int64"), "name": Column(type="string")}
    context = Context(base=tmp_path, chunk_rows=7)
    source = count.open(count.Config(to=20), columns, context)
    (split,) = source.splits()
    chunks = list(source.read(split, None))
    assert pl.concat([chunk.frame for chunk in chunks])["id"].to_list() == list(range(20))
    assert [chunk.at_end for chunk in chunks] == [False, False, True]
    assert all(dict(chunk.frame.schema) == frame_schema(columns, context) for chunk in chunks)
    for at, chunk in enumerate(chunks):
        rest = [one.frame.rows() for one in source.read(split, chunk.position)]
        assert rest == [one.frame.rows() for one in chunks[at + 1 :]]


def test_the_source_tells_changes_in_order(count: type[Any], tmp_path: Path) -> None:
    context = Context(base=tmp_path, changes=Changes(order_by="id"))
    source = count.open(count.Config(to=5), {"id": Column(type="int64")}, context)
    (chunk,) = source.read(source.splits()[0], None)
    assert chunk.frame["_pos"].to_list() == [0, 1, 2, 3, 4]
    assert chunk.frame["_op"].to_list() == [0] * 5
