"""`tokenize`: replaces a value by a token that is the same wherever the value stands within the run.

A token is 128 bits of a pseudo-random function under the run's key: equal values meet in joins across tables, two
values get one token with a chance of 2^-128, and once the run's key is destroyed no dictionary gives a value back.
Values are compared by their text, so the number 5 and the text "5" have one token. A null stays null.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.randomness import hexadecimal, macs, subkey
from processors.anonymize.text import text_of
from schemas.columns import ColumnType
from schemas.task.model import Strict


def tokens(texts: pl.Series, key: bytes, domain: str) -> pl.Series:
    """Tokens of texts; nulls stay null."""
    digits = hexadecimal(macs(subkey(key, "token", domain), texts))
    token = pl.concat_str(pl.lit("tok_"), pl.col("digits"))
    frame = pl.DataFrame({"digits": digits, "text": texts})
    if texts.null_count():
        token = pl.when(pl.col("text").is_not_null()).then(token)
    return frame.select(token.alias(texts.name)).to_series()


class Tokenize:
    """`columns` become tokens; columns of different `domain` have different tokens for one value."""

    class Config(Strict):
        columns: list[str] = Field(min_length=1, description="The columns whose values become tokens.")
        domain: str = Field(default="", description="Equal values have equal tokens within one domain only.")

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
    )

    def plan(self, config: Tokenize.Config, columns: Columns) -> Treatment:
        for i, name in enumerate(config.columns):
            column_of(columns, name, self.types, "columns", i)

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            texts = batch.frame.select(text_of(pl.col(name), columns[name].type) for name in config.columns)
            return [tokens(column, batch.draw.key, config.domain) for column in texts]

        return Treatment(dict.fromkeys(config.columns, "string"), treat)
