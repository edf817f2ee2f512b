"""`replace_realistic`: replaces a value by an invented one that looks like it: a name by a name, a city by a city.

Which one is decided by the run's key and the value's text: a value has one replacement in all tables, columns and
batches of the run, and once the key is destroyed nothing ties the two together. The replacements come from a pool of
some thousand, so several values may share one; with `distinct: true` each gets an addition of 96 bits of its own, and
two are equal with a chance of 2^-96. By chance a replacement may be the name or number of someone who exists; e-mail
addresses are at domains that nobody has. A null stays null.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.invented import check_locale, pool
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.randomness import hexadecimal, macs, subkey
from processors.anonymize.text import text_of
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Strict

Kind = Literal[
    "first_name", "last_name", "name", "user_name", "email", "phone", "street_address", "address", "city",
    "postal_code", "country", "company", "job", "iban", "license_plate",
]  # fmt: skip
# numbers and codes have a form that an addition would break
ADDED: Final = frozenset(
    {"first_name", "last_name", "name", "user_name", "email", "street_address", "address", "city", "company", "job"}
)
DIGITS: Final = 24  # hexadecimal, so 96 bits


class Invention(Strict):
    """What stands in for the values of one column."""

    kind: Kind = Field(description="What the values are.")
    locale: str = Field(default="en_US", description="Of which language and country: `de_DE`, `en_GB`, `ja_JP`.")
    distinct: bool = Field(
        default=False, description="Whether different values have different replacements, by an addition to each."
    )

    @model_validator(mode="after")
    def _fits(self) -> Invention:
        if self.distinct and self.kind not in ADDED:
            right = "leave distinct out, or tokenize the column with format: preserving"
            raise MisfitError(f"{self.kind} has too few values to be distinct", right, ("distinct",))
        check_locale(self.kind, self.locale)
        return self


class ReplaceRealistic:
    """`columns` says what the values are: `{name: {kind: name, locale: de_DE}}`.

    Different values may share a replacement unless `distinct` is true.
    """

    class Config(Strict):
        columns: dict[str, Invention] = Field(min_length=1, description="Column: what its values are.")
        domain: str = Field(default="", description="Equal values have equal replacements within one domain only.")

    name: ClassVar[str] = "replace_realistic"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "int64", "decimal", "date", "timestamp", "json"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "people get names and addresses of people who don't exist",
            {"name": {"type": "string"}, "email": {"type": "string"}},
            {"columns": {"name": {"kind": "name", "locale": "de_DE"}, "email": {"kind": "email", "distinct": True}}},
            {"name": ("Ada Lovelace", None, "Ada Lovelace"), "email": ("ada@example.org", "", None)},
        ),
    )

    def plan(self, config: ReplaceRealistic.Config, columns: Columns) -> Treatment:
        for name in config.columns:
            column_of(columns, name, self.types, "columns", name)

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            texts = batch.frame.select(text_of(pl.col(name), columns[name].type) for name in config.columns)
            return [replaced(texts[name], one, batch.draw.key, config.domain) for name, one in config.columns.items()]

        return Treatment(dict.fromkeys(config.columns, "string"), treat, reads=tuple(config.columns))


def replaced(texts: pl.Series, one: Invention, key: bytes, domain: str) -> pl.Series:
    """The replacement of each text."""
    bits = macs(subkey(key, "replace", domain, one.kind, one.locale), texts)
    entries = pool(one.kind, one.locale)
    chosen = entries.gather(pl.Series(bits[:, 0] % np.uint64(len(entries))))
    frame = pl.DataFrame({"text": texts, "new": chosen})
    new = pl.col("new")
    if one.distinct:
        more = macs(subkey(key, "replace-distinct", domain, one.kind, one.locale), texts)
        frame = frame.with_columns(code=hexadecimal(more).str.head(DIGITS))
        if one.kind == "email":
            parts = new.str.splitn("@", 2).struct
            new = pl.concat_str(parts.field("field_0"), pl.lit("."), "code", pl.lit("@"), parts.field("field_1"))
        else:
            new = pl.concat_str(new, pl.lit("_" if one.kind == "user_name" else " "), "code")
    return frame.select(pl.when(pl.col("text").is_not_null()).then(new).alias(texts.name)).to_series()
