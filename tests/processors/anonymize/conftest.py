"""Runs methods over small frames, with a key of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import processors.anonymize
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import CompiledMethods, compile_methods
from processors.wrong_config import ConfigError
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column, Method

METHODS = discover(processors.anonymize, Anonymization)
KEY = bytes(range(32))


def compile_all(columns: dict[str, dict[str, Any]], *methods: dict[str, Any], table: str = "t") -> CompiledMethods:
    declared = {name: Column.model_validate(raw) for name, raw in columns.items()}
    return compile_methods(table, declared, [Method(**raw) for raw in methods], METHODS)


def run_one(
    kind: str, values: Any, /, key: bytes = KEY, window: bool = False, table: str = "t", **method: Any
) -> pl.Series:
    column = Column.model_validate({"type": kind, "scale": 2})
    series = pl.Series("v", values, dtype=polars_type(column.type, 2))
    frame = pl.DataFrame({"v": series, "_id": pl.int_range(len(series), eager=True)})
    return compile_methods(table, {"v": column}, [Method(**method)], METHODS).apply(frame, key, window)["v"]


def mistakes_of(columns: dict[str, dict[str, Any]], *methods: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compile_all(columns, *methods)
    return [str(one) for one in caught.value.mistakes]


@pytest.fixture(scope="session")
def compiled() -> Callable[..., CompiledMethods]:
    """Methods compiled for columns as a task declares them."""
    return compile_all


@pytest.fixture(scope="session")
def run() -> Callable[..., pl.Series]:
    """The column `v` of a table after one method."""
    return run_one


@pytest.fixture(scope="session")
def wrong() -> Callable[..., list[str]]:
    """The mistakes that compiling tells."""
    return mistakes_of
