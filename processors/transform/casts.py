"""Casts between the declared types. Rounds half to even; what can't be cast fails, it does not become null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl
from sqlglot import exp

from processors.transform.terms import (
    DATE,
    FLOAT,
    INT,
    NUMBERS,
    STRING,
    TIMESTAMP,
    Term,
    WrongError,
    joined,
    lost,
    shown,
    typed_null,
    within,
)
from schemas.task.model import Kind

_DAY: Final = r"^\d{4}-\d{2}-\d{2}$"
_ZONED: Final = r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?)$"
_TRUE: Final = ["t", "true", "y", "yes", "on", "1"]
_FALSE: Final = ["f", "false", "n", "no", "off", "0"]


def cast(node: exp.Expression, term: Term, kind: Kind) -> Term:
    """The term as another type."""
    if term.kind is None:
        return typed_null(term, kind)
    if term.kind == kind or (term.kind.type == kind.type and kind.type != "decimal"):
        return term
    convert = _CASTS.get((term.kind.type, kind.type))
    if convert is None:
        right = f"from {term.kind.type} one can cast to {', '.join(_targets(term.kind.type)) or 'nothing'}"
        raise WrongError(node, f"{term.name} can't be cast to {shown(kind)}", right)
    after = convert(term.expr, kind)
    cast = term.over(after, kind, lost(term.expr, after, f"can't be cast to {shown(kind)}"))
    if isinstance(term.literal, str) and fails_always(cast):
        wrong = f"'{term.literal}' is no {kind.type}"
        raise WrongError(node, wrong, _FORMS.get(kind.type, f"write a {kind.type}"))
    return cast


def fails_always(term: Term) -> bool:
    """Whether a constant term fails."""
    return bool(pl.select(pl.any_horizontal(when for when, _ in term.fails)).item()) if term.fails else False


def unified(node: exp.Expression, terms: list[Term], what: str) -> tuple[list[Term], Kind]:
    """The terms in one common type: numbers widen, dates become timestamps, text that was written down is read."""
    kinds = [term.kind for term in terms if term.kind is not None and not isinstance(term.literal, str)]
    kinds = kinds or [term.kind for term in terms if term.kind is not None] or [STRING]
    types = {kind.type for kind in kinds}
    if types <= NUMBERS:
        scale = max((kind.scale for kind in kinds if kind.type == "decimal"), default=0)
        common = FLOAT if "float64" in types else Kind("decimal", scale) if "decimal" in types else INT
    elif types == {"date", "timestamp"}:
        common = TIMESTAMP
    elif len(types) == 1:
        common = kinds[0]
    else:
        both = " and ".join(sorted(types))
        raise WrongError(node, f"{what} does not fit {both} together", "cast one side: cast(... as TYPE)")
    return [cast(node, term, common) for term in terms], common


def texts(node: exp.Expression, term: Term) -> Term:
    """The term as text, for functions that take text."""
    return cast(node, term, STRING)


def concatenated(node: exp.Expression, terms: list[Term], skip_nulls: bool) -> Term:
    parts = [texts(node, term) for term in terms]
    return joined(pl.concat_str([part.expr for part in parts], ignore_nulls=skip_nulls), STRING, parts)


def _same(value: pl.Expr, kind: Kind) -> pl.Expr:
    return value.cast(kind.polars, strict=False)


def _read_number(value: pl.Expr, kind: Kind) -> pl.Expr:
    return value.str.strip_chars().cast(kind.polars, strict=False)


def _read_bool(value: pl.Expr, _: Kind) -> pl.Expr:
    word = value.str.strip_chars().str.to_lowercase()
    false = pl.when(word.is_in(_FALSE)).then(pl.lit(False))
    return pl.when(word.is_in(_TRUE)).then(pl.lit(True)).otherwise(false)


def _read_date(value: pl.Expr, _: Kind) -> pl.Expr:
    text = value.str.strip_chars()
    fits = text.str.contains(_DAY) & ~text.str.starts_with("0000")
    return pl.when(fits).then(text).str.strptime(pl.Date, "%Y-%m-%d", strict=False)


def _read_timestamp(value: pl.Expr, _: Kind) -> pl.Expr:
    text = value.str.strip_chars().str.replace(" ", "T", literal=True)
    timed = text.str.contains("T", literal=True) & ~text.str.starts_with("0000")
    moment: pl.Expr = pl.when(timed).then(text)
    moment = moment.str.replace(r"(T\d{2}:\d{2})([zZ+-]|$)", "${1}:00${2}")
    zoned = pl.when(moment.str.contains(_ZONED)).then(moment).otherwise(moment + "Z")
    read = zoned.str.replace(r"[zZ]$", "+00:00").str.strptime(
        pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False
    )
    return pl.coalesce(read, _read_date(text, DATE).cast(pl.Datetime("us", "UTC")))


def _whole(value: pl.Expr, _: Kind) -> pl.Expr:
    return value.cast(pl.Decimal(38, 0), strict=False).cast(pl.Int64, strict=False)


def _rounded(value: pl.Expr, _: Kind) -> pl.Expr:
    return value.round(0).cast(pl.Int64, strict=False)


def _exact(value: pl.Expr, kind: Kind) -> pl.Expr:
    """Guarded: polars raises for a float just beyond the decimal's range."""
    return pl.when(within(value.abs(), kind.scale)).then(value).cast(kind.polars, strict=False)


def _written_bool(value: pl.Expr, _: Kind) -> pl.Expr:
    return pl.when(value).then(pl.lit("true")).when(~value).then(pl.lit("false"))


_FORMS: Final = {
    "date": "write it as 2024-12-31",
    "timestamp": "write it as 2024-12-31 23:59:59 or 2024-12-31T23:59:59+01:00",
    "bool": "write true or false",
    "int64": "write a whole number",
}
_CASTS: Final[dict[tuple[str, str], Callable[[pl.Expr, Kind], pl.Expr]]] = {
    ("string", "int64"): _read_number,
    ("string", "float64"): _read_number,
    ("string", "decimal"): _read_number,
    ("string", "bool"): _read_bool,
    ("string", "date"): _read_date,
    ("string", "timestamp"): _read_timestamp,
    ("int64", "string"): _same,
    ("int64", "float64"): _same,
    ("int64", "decimal"): _same,
    ("int64", "bool"): lambda value, _: value != 0,
    ("float64", "string"): _same,
    ("float64", "int64"): _rounded,
    ("float64", "decimal"): _exact,
    ("decimal", "string"): _same,
    ("decimal", "float64"): _same,
    ("decimal", "int64"): _whole,
    ("decimal", "decimal"): _same,
    ("bool", "string"): _written_bool,
    ("bool", "int64"): _same,
    ("date", "string"): lambda value, _: value.dt.strftime("%Y-%m-%d"),
    ("date", "timestamp"): _same,
    ("timestamp", "string"): lambda value, _: value.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    ("timestamp", "date"): lambda value, _: value.dt.date(),
    ("json", "string"): _same,
}


def _targets(type_: str) -> list[str]:
    return sorted(target for source, target in _CASTS if source == type_)


def date_of(node: exp.Expression, term: Term) -> Term:
    """A date or timestamp; text that was written down is read as a timestamp."""
    if isinstance(term.literal, str):
        return cast(node, term, TIMESTAMP)
    if term.kind is None:
        return typed_null(term, DATE)
    return term
