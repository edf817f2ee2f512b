"""`normalize`: brings text into one form: white space, case, Unicode, phones, e-mail addresses, dates (R-F3).

Forms are applied in the order written. What a strict form can't read is rejected, else it stays as it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import groupby
from typing import Annotated, Any, ClassVar, Literal, cast

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from processors.rules.ascii import QUICK, Quick, formed
from processors.rules.phone import international, plan_of
from processors.rules.protocol import Effect, Example, Phase
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column, Strict

Plain = Literal[Quick, "title", "collapse", "nfc", "nfkc", "strip_accents", "digits_only", "email"]


class Phone(Strict):
    """International form, +4930123456. `country` (DE, or +49) is where a number without a prefix is from."""

    country: str = Field(description="Where a number without an international prefix is from: DE, or +49.")
    strict: bool = Field(
        default=False, description="Whether a record whose text is no phone number is rejected, else it stays."
    )

    @model_validator(mode="after")
    def _known(self) -> Phone:
        plan_of(self.country)
        return self


class Email(Strict):
    strict: bool = Field(
        default=False, description="Whether a record whose text is no address is rejected, else it stays."
    )


class Date(Strict):
    """Text in the first of the `from` formats that reads it, written in the `to` format (strftime)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_: list[str] = Field(
        alias="from", min_length=1, description="The formats that are tried, in this order: %d.%m.%Y."
    )
    to: str = Field(default="%Y-%m-%d", description="The format that is written.")
    strict: bool = Field(
        default=False,
        description="Whether a record whose text is no date in any of the formats is rejected, else it stays.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Date:
        for text in self.from_:
            if not ("%F" in text or "%D" in text or all(any(p in text for p in part) for part in _DATE_PARTS)):
                raise MisfitError("has a format without day, month or year", "write formats as %d.%m.%Y")
        day = pl.Series([dt.date(2024, 12, 31)])
        try:
            for text in (*self.from_, self.to):
                read = day.dt.strftime(text).str.to_date(text, strict=False)
                if text != self.to and read.null_count():
                    raise MisfitError("has a format that reads no date", "write formats as %d.%m.%Y")
        except pl.exceptions.ComputeError:
            raise MisfitError("has a format that is not one of dates", "write formats as %d.%m.%Y") from None
        return self


_DATE_PARTS = (("%d", "%e", "%j"), ("%m", "%b", "%B", "%h", "%j"), ("%Y", "%y"))


class Form(BaseModel):
    """A form that has settings; exactly one is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phone: Phone | None = Field(default=None, description="The text is a phone number.")
    email: Email | None = Field(default=None, description="The text is an email address.")
    date: Date | None = Field(default=None, description="The text is a date.")

    @model_validator(mode="after")
    def _one(self) -> Form:
        if len(self.model_fields_set) != 1:
            raise MisfitError("names no form or several", "give each form an entry of its own")
        return self


def email(value: pl.Expr) -> pl.Expr:
    """Trimmed, the domain in lower case; the part before it is the mail host's matter."""
    bare = value.str.strip_chars()
    name, domain = bare.str.extract(r"(?s)^(.*)@"), bare.str.extract(r"@([^@]*)$").str.to_lowercase()
    return pl.when(domain.is_null()).then(bare).otherwise(pl.concat_str(name, pl.lit("@"), domain))


def date(value: pl.Expr, form: Date) -> pl.Expr:
    """The text in the `to` format; null where no format reads it."""
    bare = value.str.strip_chars()
    read = pl.coalesce(bare.str.to_date(text, strict=False, exact=True) for text in form.from_)
    return read.dt.strftime(form.to)


_PLAIN: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "title": lambda value: value.str.to_titlecase(),
    "collapse": lambda value: value.str.replace_all(r"\s+", " "),
    "nfc": lambda value: value.str.normalize("NFC"),
    "nfkc": lambda value: value.str.normalize("NFKC"),
    "strip_accents": lambda value: value.str.normalize("NFD").str.replace_all(r"\p{Mn}", "").str.normalize("NFC"),
    "digits_only": lambda value: value.str.replace_all(r"[^0-9]", ""),
    "email": email,
}

_EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"


class Normalize:
    """A list of forms: names such as `trim`, or a form with settings such as `{phone: {country: DE}}`."""

    class Config(RootModel[Annotated[list[Plain | Form], Field(min_length=1)]]):
        pass

    name: ClassVar[str] = "normalize"
    phase: ClassVar[Phase] = Phase.CLEAN
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "addresses in lower case",
            {"type": "string", "normalize": ["trim", "lower"]},
            (" Ada@X.ORG ", None),
            ("ada@x.org", None),
        ),
        Example(
            "inner white space and accents",
            {"type": "string", "normalize": ["trim", "collapse", "strip_accents", "title"]},
            ("  josé \u00a0 garcía ",),
            ("Jose Garcia",),
        ),
        Example(
            "full-width letters become plain ones",
            {"type": "string", "normalize": ["nfkc"]},
            ("Ａ１",),
            ("A1",),
        ),
        Example(
            "phone numbers in international form",
            {"type": "string", "normalize": [{"phone": {"country": "DE", "strict": True}}]},
            ("030 / 123 456", "0049 30 123456", "+1 (212) 555-0100", "unlisted"),
            ("+4930123456", "+4930123456", "+12125550100"),
            rejected=1,
        ),
        Example(
            "only the domain of an address is lowered",
            {"type": "string", "normalize": [{"email": {"strict": True}}]},
            ("Ada@Example.ORG ", "nobody"),
            ("Ada@example.org",),
            rejected=1,
        ),
        Example(
            "dates in one form, what is no date stays",
            {"type": "string", "normalize": [{"date": {"from": ["%d.%m.%Y", "%m/%d/%Y"]}}]},
            ("31.12.2024", "12/31/2024", "soon"),
            ("2024-12-31", "2024-12-31", "soon"),
        ),
    )

    def apply(self, value: pl.Expr, config: Normalize.Config, column: Column) -> Effect:
        fails, unread = [], []
        for quick, forms in groupby(config.root, key=_is_quick):
            if quick:
                value = formed(value, cast(list[Quick], list(forms)))
                continue
            for form in forms:
                before = value
                if isinstance(form, str):
                    value = _PLAIN[form](before)
                    continue
                name, settings = _chosen(form)
                value, wrong = _READ[name](before, settings)
                if settings.strict:
                    fails.append(wrong & before.is_not_null() & (before.str.strip_chars() != ""))
                    unread.append(name)
        if not fails:
            return Effect(value=value)
        reason = f"can't be read as {' or '.join(_NOUN[name] for name in unread)}"
        return Effect(value=value, fails=pl.any_horizontal(fails), verdict="reject", reason=reason)


def _is_quick(form: str | Form) -> bool:
    return isinstance(form, str) and form in QUICK


def _chosen(form: Form) -> tuple[str, Any]:
    (name,) = form.model_fields_set
    return name, getattr(form, name) or Email()


def _read_phone(value: pl.Expr, form: Phone) -> tuple[pl.Expr, pl.Expr]:
    read = international(value, plan_of(form.country))
    return pl.coalesce(read, value), read.is_null()


def _read_email(value: pl.Expr, _: Email) -> tuple[pl.Expr, pl.Expr]:
    read = email(value)
    return read, ~read.str.contains(_EMAIL)


def _read_date(value: pl.Expr, form: Date) -> tuple[pl.Expr, pl.Expr]:
    read = date(value, form)
    return pl.coalesce(read, value), read.is_null()


_READ: dict[str, Callable[[pl.Expr, Any], tuple[pl.Expr, pl.Expr]]] = {
    "phone": _read_phone,
    "email": _read_email,
    "date": _read_date,
}
_NOUN = {"phone": "a phone number", "email": "an e-mail address", "date": "a date"}
