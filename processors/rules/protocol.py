"""What a field rule is: a config, an expression over one column, and examples that run as tests.

A rule sees the value of its column as a polars expression and answers with expressions; it never sees a
record, a frame or another column. Its expressions are total: no value makes them raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Literal, Protocol

import polars as pl
from pydantic import BaseModel

from schemas.columns import ColumnType
from schemas.task.model import Column

Verdict = Literal["drop", "reject"]


class Phase(IntEnum):
    """Rules of a column are applied phase by phase, and as written within a phase."""

    CLEAN = 1  # brings a value into its proper form
    EMPTY = 2  # decides about a value that is not there
    CHECK = 3  # decides about a value that is there


@dataclass(frozen=True)
class Effect:
    """What a rule does to a column's value: a new value, a verdict on some records, or both.

    `changed` says for which records the value differs; without it the runner compares old and new. Where one value is
    written for these and all others stay, `instead` tells it, and what `changed` asks is asked once.
    `fails` says which records are dropped or rejected; null counts as false.
    """

    value: pl.Expr | None = None
    changed: pl.Expr | None = None
    instead: pl.Expr | None = None
    fails: pl.Expr | None = None
    verdict: Verdict = "drop"
    reason: str = ""  # of a reject; never holds a value


@dataclass(frozen=True)
class Example:
    """`given` are values of a column declared as `column`; `kept` is what remains of them, in order."""

    says: str
    column: Mapping[str, Any]
    given: tuple[Any, ...]
    kept: tuple[Any, ...]
    dropped: int = 0
    rejected: int = 0


class Rule(Protocol):
    """One file below `processors/rules`; its name is the key under a column."""

    name: ClassVar[str]
    phase: ClassVar[Phase]
    types: ClassVar[frozenset[ColumnType]]
    Config: ClassVar[type[BaseModel]]
    examples: ClassVar[tuple[Example, ...]]

    def apply(self, value: pl.Expr, config: Any, column: Column) -> Effect:
        """The effect on `value`; raises `MisfitError` where the config does not fit the column."""
        ...
