"""`tokenize`: replaces a value by a token that is the same wherever the value stands within the run.

A token is 128 bits of a pseudo-random function under the run's key: equal values meet in joins across tables, two
values get one token with a chance of 2^-128, and once the run's key is destroyed no dictionary gives a value back.
Values are compared by their text, so the number 5 and the text "5" have one token. A null stays null.

`format: preserving` gives a text of the value's own form instead, by a permutation of all texts of that form: no two
values ever share one. The form remains: length, case, spaces and other signs. A form of fewer than a million texts is
refused, since its few values could be told apart by how often they occur.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.preserving import preserved
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.randomness import Words, bytes_of, hexadecimal, macs, subkey
from processors.anonymize.shapes import SMALLEST
from processors.anonymize.text import text_of
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict
from schemas.tokens import PREFIX, column

FORMS: frozenset[ColumnType] = frozenset({"string", "int64"})


def tokens(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """Tokens of texts; nulls stay null."""
    found = hexadecimal(_blocks(texts, key, domain), PREFIX).alias(texts.name)
    return found.set(texts.is_null(), None) if texts.null_count() else found


def unwritten(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """The same tokens, for somebody else to write as text."""
    missing = texts.is_null().to_numpy() if texts.null_count() else None
    return column(texts.name, bytes_of(_blocks(texts, key, domain)), missing)


def _blocks(texts: pl.Series, key: bytes, domain: str) -> Words:
    return macs(subkey(key, "token", domain), texts)


class Tokenize:
    """`columns` become tokens; columns of different `domain` have different tokens for one value.

    Tokens join tables within the run; with its key, which is destroyed at the end, everything that ties them to values
    is gone. `format: preserving` keeps the form: digits stay digits, letters letters of their case, the rest as it is.
    """

    class Config(Strict):
        columns: list[str] = Field(min_length=1, description="The columns whose values become tokens.")
        domain: str = Field(default="", description="Equal values have equal tokens within one domain only.")
        format: Literal["token", "preserving"] = Field(
            default="token", description="`preserving`: a text of the same length with digits, letters and signs alike."
        )
        otherwise: Literal["suppress", "token"] = Field(
            default="suppress",
            description="With `format: preserving`, what becomes of a value whose form can't be kept: one of fewer "
            "than a million texts, of more than 128 characters, or beyond ASCII.",
        )

        @model_validator(mode="after")
        def _goes_together(self) -> Tokenize.Config:
            if self.format == "token" and "otherwise" in self.model_fields_set:
                raise MisfitError("keeps no form", "write format: preserving, or leave it out", ("otherwise",))
            return self

    name: ClassVar[str] = "tokenize"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "int64", "decimal", "date", "timestamp", "json"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "e-mail addresses become tokens",
            {"email": {"type": "string"}},
            {"columns": ["email"]},
            {"email": ("ada@example.org", None, "ada@example.org", "")},
        ),
        Example(
            "customer numbers that can't be joined with those of other domains",
            {"customer": {"type": "int64"}},
            {"columns": ["customer"], "domain": "customer"},
            {"customer": (1, 2, None)},
        ),
        Example(
            "card numbers stay sixteen digits",
            {"card": {"type": "string"}},
            {"columns": ["card"], "format": "preserving"},
            {"card": ("4111 1111 1111 1111", None, "4111 1111 1111 1111")},
        ),
        Example(
            "a form of too few texts can't be kept",
            {"pin": {"type": "string"}},
            {"columns": ["pin"], "format": "preserving"},
            {"pin": ("1234", "99999", None)},
            {"pin": (None, None, None)},
        ),
    )

    def plan(self, config: Tokenize.Config, columns: Columns) -> Treatment:
        for i, name in enumerate(config.columns):
            column = column_of(columns, name, self.types, "columns", i)
            if config.format == "preserving":
                _check_form(name, column, i)

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            texts = batch.frame.select(text_of(pl.col(name), columns[name].type) for name in config.columns)
            if batch.on_its_way and config.format == "token":
                return [unwritten(values, batch.draw.key, config.domain) for values in texts]
            return [_written(values, batch.draw.key, config) for values in texts]

        return Treatment(dict.fromkeys(config.columns, "string"), treat, reads=tuple(config.columns))


def _written(texts: pl.Series, key: bytes, config: Tokenize.Config) -> pl.Series:
    if config.format == "token":
        return tokens(texts, key, config.domain)
    kept = preserved(texts, key, config.domain)
    if config.otherwise == "suppress" or kept.null_count() == texts.null_count():
        return kept
    left = (kept.is_null() & texts.is_not_null()).arg_true()
    return kept.scatter(left, tokens(texts.gather(left), key, config.domain))


def _check_form(name: str, column: Column, i: int) -> None:
    """Refuses columns whose values have a form of too few texts, whatever they are."""
    if column.type not in FORMS:
        wrong = f"{name} is of type {column.type}, whose form has too few texts to hide one in"
        raise MisfitError(wrong, "leave format out, or perturb or generalize the column", ("columns", i))
    length = column.rules.get("length")
    most = length.get("max") if isinstance(length, Mapping) else None
    if isinstance(most, int) and 26**most < SMALLEST:
        wrong = f"{name} has at most {most} characters, so at most {26**most:,} texts of a form, which are too few"
        raise MisfitError(wrong, "leave format out, or generalize the column", ("columns", i))
