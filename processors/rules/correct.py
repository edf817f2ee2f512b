"""`correct`: replaces known wrong values by right ones, from a mapping or a file of two columns (R-F3).

The file is read when the task is released, not here: `embed` turns it into a mapping within the config.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator, model_validator

from processors.rules.literals import typed
from processors.rules.otherwise import Otherwise, settle
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError, Read
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column, Strict


class Correct:
    """`map` says what is written for what; `otherwise` what becomes of values that it does not know."""

    class Config(Strict):
        map: dict[str, Any] | None = Field(default=None, description="Wrong value: right value.")
        file: str | None = Field(
            default=None, description="The same as a CSV file with a header: the wrong value, the right one."
        )
        otherwise: Literal["keep"] | Otherwise = Field(
            default="keep", description="What becomes of a value, or its record, that is not in the map."
        )

        @field_validator("map", mode="before")
        @classmethod
        def _keys_as_text(cls, raw: Any) -> Any:
            """A released task is kept as JSON, whose keys are text."""
            return {_key(key): value for key, value in raw.items()} if isinstance(raw, Mapping) else raw

        @model_validator(mode="after")
        def _one_origin(self) -> Correct.Config:
            if (self.map is None) == (self.file is None):
                raise MisfitError("has no mapping or two", "give either map or file")
            return self

    name: ClassVar[str] = "correct"
    phase: ClassVar[Phase] = Phase.CLEAN
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "int64", "date", "bool", "decimal"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "known misspellings",
            {"type": "string", "correct": {"map": {"Munchen": "Munich", "München": "Munich"}}},
            ("München", "Oslo", None),
            ("Munich", "Oslo", None),
        ),
        Example(
            "codes of which only some exist",
            {"type": "int64", "correct": {"map": {9: 1, 1: 1}, "otherwise": "reject"}},
            (9, 1, 7),
            (1, 1),
            rejected=1,
        ),
        Example(
            "everything else is other",
            {
                "type": "string",
                "correct": {"map": {"f": "female", "m": "male"}, "otherwise": {"replace": "other"}},
            },
            ("f", "?"),
            ("female", "other"),
        ),
    )

    @staticmethod
    def embed(raw: Any, read: Read) -> Any:
        """The config with its file read into `map`."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("file"), str):
            return raw
        rows = [row for row in csv.reader(io.StringIO(read(raw["file"]))) if row]
        if len(rows) < 2 or any(len(row) != 2 for row in rows):
            raise MisfitError(
                "names a file that is no mapping", "give a CSV with a header and two columns in every row"
            )
        if len({row[0] for row in rows[1:]}) != len(rows) - 1:
            raise MisfitError("names a file that corrects one value twice", "list every wrong value once")
        return {**{key: value for key, value in raw.items() if key != "file"}, "map": dict(rows[1:])}

    def apply(self, value: pl.Expr, config: Correct.Config, column: Column) -> Effect:
        if config.map is None:
            raise MisfitError("names a file that was not read", "release the task, which reads it")
        dtype = polars_type(column.type, column.scale)
        old = pl.Series([_from_file(key, column) for key in config.map], dtype=dtype)
        new = pl.Series([_from_file(text, column) for text in config.map.values()], dtype=dtype)
        if old.n_unique() != len(old):
            raise MisfitError("corrects one value twice", "list every wrong value once")
        mapped = value.replace_strict(old, new, default=None, return_dtype=dtype)
        if config.otherwise == "keep":
            return Effect(value=pl.coalesce(mapped, value))
        known = value.is_in(old.implode())
        told = settle(mapped, ~known, config.otherwise, column, "is not among the values that can be corrected")
        return told if told.value is not None else replace(told, value=mapped)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _from_file(value: Any, column: Column) -> Any:
    """A value of the mapping; keys, and whatever a file holds, are text."""
    if isinstance(value, str) and column.type in ("int64", "bool"):
        words: dict[str, Any] = {"true": True, "false": False}
        if column.type == "bool":
            return typed(words.get(value.strip().lower(), value), column)
        return typed(int(value), column) if value.strip().lstrip("-").isdecimal() else typed(value, column)
    return typed(value, column)
