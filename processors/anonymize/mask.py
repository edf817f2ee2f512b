"""`mask`: hides characters of a value and keeps a few at either end (R-A6).

The result has a fixed length, since a length tells values apart. A value is hidden whole where what is kept would be
more than half of it. Of an e-mail address nothing of the domain is kept unless asked for. A null stays null.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.text import text_of
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Strict


class Style(Strict):
    """How one column is masked; `length` counts what is kept, too, and `same` gives the length away."""

    keep_first: int = Field(default=0, ge=0, le=32, description="How many characters stay at the beginning.")
    keep_last: int = Field(default=0, ge=0, le=32, description="How many characters stay at the end.")
    char: str = Field(default="*", min_length=1, max_length=1, description="What is written for a hidden character.")
    length: int | Literal["same"] = Field(
        default=10, description="How long every masked text is, what is kept included; `same`: as long as it was."
    )
    form: Literal["text", "email"] = Field(
        default="text", description="`email`: what stands before the @ is masked by itself."
    )
    keep_domain: bool = Field(default=False, description="Whether an address keeps what follows its @.")

    @model_validator(mode="after")
    def _hides(self) -> Style:
        kept = self.keep_first + self.keep_last
        if self.length != "same" and self.length <= kept:
            raise MisfitError("has a length that leaves nothing to hide", f"give a length above {kept}", ("length",))
        if self.keep_domain and self.form != "email":
            raise MisfitError("keeps the domain of what is no address", "write form: email", ("keep_domain",))
        return self


def masked(value: pl.Expr, style: Style) -> pl.Expr:
    """The text with its middle hidden."""
    if style.form == "text":
        return _hidden(value, style)
    if style.keep_domain:
        name, domain = value.str.extract(r"(?s)^(.*)@"), value.str.extract(r"(@[^@]*)$")
    else:
        parts = value.str.splitn("@", 2).struct
        domain = pl.when(parts.field("field_1").is_not_null()).then(pl.lit("@" + 3 * style.char))
        name = parts.field("field_0")
    return pl.coalesce(pl.concat_str(_hidden(name, style), domain), _hidden(value, style))


def _hidden(value: pl.Expr, style: Style) -> pl.Expr:
    kept = style.keep_first + style.keep_last
    if style.length == "same":
        size = value.str.len_chars()
        every = value.str.replace_all(r"(?s).", style.char.replace("$", "$$"))
        middle = every.str.slice(0, size - pl.min_horizontal(pl.lit(kept, dtype=pl.UInt32), size))
    else:
        every = pl.when(value.is_not_null()).then(pl.lit(style.char * style.length))
        middle = pl.lit(style.char * (style.length - kept))
    if not kept:
        return every
    parts = pl.concat_str(value.str.head(style.keep_first), middle, value.str.tail(style.keep_last))
    return pl.when(value.str.len_chars() >= 2 * kept).then(parts).otherwise(every)


class Mask:
    """`columns` says for each column what is kept: `{phone: {keep_last: 2}}`."""

    class Config(Strict):
        columns: dict[str, Style] = Field(min_length=1, description="Column: how it is masked.")

    name: ClassVar[str] = "mask"
    types: ClassVar[frozenset[ColumnType]] = frozenset(
        {"string", "int64", "float64", "decimal", "date", "timestamp", "bool", "json"}
    )
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "the last two digits of a phone number",
            {"phone": {"type": "string"}},
            {"columns": {"phone": {"keep_last": 2}}},
            {"phone": ("+4930123456", "123", "", None)},
            {"phone": ("********56", "**********", "**********", None)},
        ),
        Example(
            "as long as the value was",
            {"code": {"type": "string"}},
            {"columns": {"code": {"keep_first": 1, "char": "#", "length": "same"}}},
            {"code": ("äbcd", "x")},
            {"code": ("ä###", "#")},
        ),
        Example(
            "an address without its domain",
            {"email": {"type": "string"}},
            {"columns": {"email": {"form": "email", "keep_first": 1, "length": 5}}},
            {"email": ("ada@example.org", "nobody")},
            {"email": ("a****@***", "n****")},
        ),
        Example(
            "numbers become text",
            {"card": {"type": "int64"}},
            {"columns": {"card": {"keep_last": 4, "length": 8}}},
            {"card": (4111111111111111, None)},
            {"card": ("****1111", None)},
        ),
    )

    def plan(self, config: Mask.Config, columns: Columns) -> Treatment:
        for name in config.columns:
            column_of(columns, name, self.types, "columns", name)

        def treat(_: Batch) -> list[pl.Expr | pl.Series]:
            return [
                masked(text_of(pl.col(name), columns[name].type), style).alias(name)
                for name, style in config.columns.items()
            ]

        return Treatment(dict.fromkeys(config.columns, "string"), treat)
