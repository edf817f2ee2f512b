"""The README's examples do what the README says: they are found, and their own examples come out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl

from docs.project import Project
from docs.snippets import python_blocks, run_block
from processors.anonymize.runner import compile_methods
from processors.rules.runner import compile_rules
from schemas.columns import IDENTITY, polars_type
from schemas.task.model import Column, Method

PROJECT = Project(Path(__file__).resolve().parents[2])


def component(module: ModuleType) -> type[Any]:
    (found,) = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return found


def components() -> list[type[Any]]:
    return [component(run_block(block)) for block in python_blocks(PROJECT)]


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
