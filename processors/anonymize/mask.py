"""`mask`: hides characters of a value and keeps a few at either end (R-A6).

The result has a fixed length, since a length tells values apart. A value is hidden whole where what is kept would be
more than half of it. Of an e-mail address nothing of the domain is kept unless asked for, of a card or an account no
check digit, of a phone number no country. A null stays null.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize import masking
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.text import text_of
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Strict

MOST = {"phone": 10, "card": 9, "iban": 15}  # half of the longest there is


class Style(Strict):
    """How one column is masked; `length` counts what is kept, too, and `same` gives the length away."""

    form: Literal["text", "email", "phone", "card", "iban", "pattern"] = Field(
        default="text",
        description="What the values are. What stands before the @ of an `email` is masked by itself; of a `phone`, "
        "`card` or `iban` digits count without spaces and signs, and a value of another form is hidden whole; "
        "`pattern` hides what matches an expression, and keeps the text around it.",
    )
    keep_first: int = Field(default=0, ge=0, le=32, description="How many characters stay at the beginning.")
    keep_last: int = Field(default=0, ge=0, le=32, description="How many characters stay at the end.")
    char: str = Field(default="*", min_length=1, max_length=1, description="What is written for a hidden character.")
    length: int | Literal["same"] = Field(
        default=10, description="How long every masked text is, what is kept included; `same`: as long as it was."
    )
    keep_domain: bool = Field(default=False, description="Whether an address keeps what follows its @.")
    keep_country: bool = Field(default=False, description="Whether a `phone` or an `iban` keeps its country.")
    keep_check: bool = Field(
        default=False,
        description="Whether the check digits of a `card` or an `iban` stay, the former within keep_last.",
    )
    pattern: str | None = Field(
        default=None, description="What is hidden of a text with `form: pattern`: an expression in Rust's syntax."
    )

    @model_validator(mode="after")
    def _hides(self) -> Style:
        kept = self.keep_first + self.keep_last + (4 if self.form == "iban" else 0)
        if self.length != "same" and (self.length < 1 or self.length <= kept):
            raise MisfitError("has a length that leaves nothing to hide", f"give a length above {kept}", ("length",))
        if self.keep_domain and self.form != "email":
            raise MisfitError("keeps the domain of what is no address", "write form: email", ("keep_domain",))
        if self.keep_country and self.form not in ("phone", "iban"):
            raise MisfitError(
                "keeps the country of a value without one", "write form: phone or iban", ("keep_country",)
            )
        if self.keep_check and self.form not in ("card", "iban"):
            raise MisfitError("keeps check digits of what has none", "write form: card or iban", ("keep_check",))
        most = MOST.get(self.form)
        if most and self.keep_first + self.keep_last > most:
            raise MisfitError(f"keeps more than half of any {self.form}", f"keep at most {most}", ("keep_first",))
        return self

    @model_validator(mode="after")
    def _matches(self) -> Style:
        if (self.pattern is not None) != (self.form == "pattern"):
            raise MisfitError("needs pattern and form: pattern together", "give both, or neither", ("pattern",))
        if self.pattern is None:
            return self
        if self.keep_first or self.keep_last or self.length == "same":
            raise MisfitError("keeps a part of a match", "give a length, and leave keep_first and keep_last out")
        try:
            empty = pl.Series([""]).str.contains(self.pattern, strict=True).item()
        except pl.exceptions.ComputeError:
            right = "see docs.rs/regex for the syntax"
            raise MisfitError("is no regular expression", right, ("pattern",)) from None
        if empty:
            raise MisfitError("matches the empty text", "say what there has to be: + instead of *", ("pattern",))
        return self


def masked(value: pl.Expr, style: Style) -> pl.Expr:
    """The text with what the style does not keep hidden."""
    cover = masking.Cover(
        style.keep_first, style.keep_last, style.char, None if style.length == "same" else style.length
    )
    match style.form:
        case "email":
            return masking.email(value, cover, style.keep_domain)
        case "phone":
            return masking.phone(value, cover, style.keep_country)
        case "card":
            return masking.card(value, cover, style.keep_check)
        case "iban":
            return masking.iban(value, cover, style.keep_country, style.keep_check)
        case "pattern":
            return masking.matches(value, style.pattern or "", cover)
        case "text":
            return masking.covered(value, cover)


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
            "the country and the last two digits of a phone number, however it is written",
            {"phone": {"type": "string"}},
            {"columns": {"phone": {"form": "phone", "keep_country": True, "keep_last": 2}}},
            {"phone": ("+49 (30) 123-456", "0049 30 123456", "030/123456", "none", None)},
            {"phone": ("+49 ********56", "+49 ********56", "********56", "**********", None)},
        ),
        Example(
            "the last four digits of a card without its check digit",
            {"card": {"type": "string"}},
            {"columns": {"card": {"form": "card", "keep_last": 4}}},
            {"card": ("4111 1111 1111 1234", "4111-1111", None)},
            {"card": ("******123*", "**********", None)},
        ),
        Example(
            "the country of an account",
            {"account": {"type": "string"}},
            {"columns": {"account": {"form": "iban", "keep_country": True, "length": 8}}},
            {"account": ("DE89 3704 0044 0532 0130 00", "none", None)},
            {"account": ("DE******", "********", None)},
        ),
        Example(
            "numbers in a note",
            {"note": {"type": "string"}},
            {"columns": {"note": {"form": "pattern", "pattern": "[0-9]{3,}", "length": 3}}},
            {"note": ("order 12345 of 7 pieces", "", None)},
            {"note": ("order *** of 7 pieces", "", None)},
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

        exprs = [
            masked(text_of(pl.col(name), columns[name].type), style).alias(name)
            for name, style in config.columns.items()
        ]

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            # a lazy frame computes what several parts of an expression share once
            return [*batch.frame.lazy().select(exprs).collect()]

        return Treatment(dict.fromkeys(config.columns, "string"), treat, reads=tuple(config.columns))
