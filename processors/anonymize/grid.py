"""How one column becomes coarser: steps, calendar units, hierarchies, first characters, networks, places on earth."""

from __future__ import annotations

import ipaddress
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.geohash import cell
from processors.anonymize.hierarchy import level_of
from processors.anonymize.text import text_of, within_years
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column, Strict

INT64_MIN = -(2**63)
DIGITS = 10**38 - 1  # the largest decimal, without its point
Unit = Literal["minute", "hour", "day", "week", "month", "quarter", "year", "decade"]
_EVERY: dict[str, str] = {
    "minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y",
}  # fmt: skip
_FORMS: dict[str, frozenset[ColumnType]] = {
    "step": frozenset({"int64", "float64", "decimal"}),
    "unit": frozenset({"date", "timestamp"}),
    "hierarchy": frozenset({"string", "int64", "date", "bool"}),
    "rows": frozenset({"string", "int64", "date", "bool"}),
    "keep_first": frozenset({"string"}),
    "prefix": frozenset({"string"}),
    "geohash": frozenset({"string"}),
}
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"^(?:{_OCTET}\.){{3}}{_OCTET}$"


class Grid(Strict):
    """Exactly one of `step`, `unit`, `hierarchy` (with `level`), `keep_first`, `prefix` and `geohash`."""

    step: int | float | str | None = Field(default=None, description="Groups of numbers begin at multiples of it.")
    unit: Unit | None = Field(default=None, description="The calendar unit that a date is cut to.")
    hierarchy: str | None = Field(
        default=None, description="A CSV file in ARX's format: the value, then its groups, each coarser."
    )
    rows: list[list[str]] | None = Field(
        default=None, description="What the file of the hierarchy holds: a released task has it so."
    )
    level: int | None = Field(
        default=None, ge=1, description="Which group of the hierarchy: how many columns up from the value."
    )
    keep_first: int | None = Field(default=None, ge=1, le=64, description="How many characters remain.")
    prefix: int | None = Field(default=None, ge=0, le=32, description="How many bits of an IPv4 address remain.")
    prefix6: int = Field(default=48, ge=0, le=128, description="How many bits of an IPv6 address remain.")
    geohash: int | None = Field(
        default=None,
        ge=1,
        le=9,
        description="How many characters of a place's geohash remain: 3 are some 150 km, 4 are 30 km, 5 are 5 km. A "
        "place is written as a geohash, or as latitude and longitude in degrees, such as `52.5, 13.4`.",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Grid:
        given = [form for form in _FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            forms = ", ".join(form for form in _FORMS if form != "rows")
            raise MisfitError("says in no way or in several how values are grouped", f"give one of {forms}")
        if (self.level is not None) != (given[0] in ("hierarchy", "rows")):
            raise MisfitError("needs hierarchy and level together", "give both, or neither")
        if "prefix6" in self.model_fields_set and self.prefix is None:
            raise MisfitError("has prefix6 without prefix", "give prefix, the bits of an IPv4 address")
        return self

    @property
    def form(self) -> str:
        return next(form for form in _FORMS if getattr(self, form) is not None)

    @property
    def types(self) -> frozenset[ColumnType]:
        return _FORMS[self.form]

    def output(self, kind: ColumnType) -> ColumnType:
        """The type of the groups' names."""
        return kind if self.form in ("step", "unit") else "string"

    def group(self, value: pl.Expr, column: Column) -> pl.Expr:
        """The group that the value belongs to."""
        if self.step is not None:
            return _stepped(value, self.step, column)
        if self.unit is not None:
            return _cut(value, self.unit, column)
        if self.keep_first is not None:
            return truncated(value, self.keep_first)
        if self.prefix is not None:
            return network(value, self.prefix, self.prefix6)
        if self.geohash is not None:
            return cell(value, self.geohash)
        if self.rows is None or self.level is None:
            raise MisfitError("names a hierarchy that was not read", "release the task, which reads it")
        return level_of(text_of(value, column.type), self.rows, self.level)


def _stepped(value: pl.Expr, step: int | float | str, column: Column) -> pl.Expr:
    """The largest multiple of the step that is not above the value."""
    size = _step(step, column)
    if column.type == "int64":
        above = value % int(size)
        # the lowest group of all begins where int64 does
        return pl.when(value < INT64_MIN + above).then(INT64_MIN).otherwise(value - above)
    if column.type == "decimal":
        digits = value.to_physical()
        lower = digits - digits % pl.lit(int(size * 10**column.scale), dtype=pl.Int128)
        return lower.clip(-DIGITS, DIGITS).reinterpret(dtype=polars_type("decimal", column.scale))
    places = max(0, -int(size.normalize().as_tuple().exponent))
    return ((value / float(size)).floor() * float(size)).round(places)


def _step(step: int | float | str, column: Column) -> Decimal:
    try:
        size = Decimal(str(step))
    except InvalidOperation:
        raise MisfitError("is no number", "give a positive number", ("step",)) from None
    places = {"int64": 0, "decimal": column.scale, "float64": 15}[column.type]
    if not size.is_finite() or size <= 0 or size >= 2**62:
        raise MisfitError("is no step", "give a positive number", ("step",))
    if -int(size.normalize().as_tuple().exponent) > places:
        raise MisfitError("is too fine for the column", f"give at most {places} decimal places", ("step",))
    return size


def _cut(value: pl.Expr, unit: Unit, column: Column) -> pl.Expr:
    if unit in ("minute", "hour") and column.type == "date":
        raise MisfitError("is finer than a date", f"give one of {', '.join(get_args(Unit)[2:])}", ("unit",))
    value = within_years(value, column.type)
    if unit != "decade":
        return value.dt.truncate(_EVERY[unit])
    start = pl.date(value.dt.year() - value.dt.year() % 10, 1, 1)
    return start.cast(polars_type("date")) if column.type == "date" else start.cast(polars_type("timestamp"))


def truncated(value: pl.Expr, keep: int) -> pl.Expr:
    """The first characters and a star; a value that has no more than these is a star alone."""
    longer = value.str.len_chars() > keep
    star = pl.when(value.is_not_null()).then(pl.lit("*"))
    return pl.when(longer).then(pl.concat_str(value.str.head(keep), pl.lit("*"))).otherwise(star)


def network(value: pl.Expr, bits4: int, bits6: int) -> pl.Expr:
    """The network of an address, as 192.0.2.0/24; null for what is no address."""
    return value.map_batches(lambda texts: _networks(texts, bits4, bits6), return_dtype=pl.String)


def _networks(texts: pl.Series, bits4: int, bits6: int) -> pl.Series:
    bare = texts.str.strip_chars()
    plain = bare.str.contains(_IPV4)
    masks = ((0xFFFFFFFF << (32 - bits4)) & 0xFFFFFFFF).to_bytes(4, "big")
    octets = bare.str.split_exact(".", 3).struct.unnest()
    parts = [_octet(pl.col(f"field_{i}"), mask) for i, mask in enumerate(masks)]
    dots = [part for octet in parts for part in (pl.lit("."), octet)][1:]
    named = octets.with_columns(named=pl.concat_str(*dots, pl.lit(f"/{bits4}")))["named"]
    others = (~plain.fill_null(False)).arg_true()
    if not len(others):
        return named.alias(texts.name)
    rest = bare.gather(others)
    each = rest.unique()
    names = pl.Series([None if text is None else _network(text, bits4, bits6) for text in each], dtype=pl.String)
    return named.scatter(others, rest.replace_strict(each, names, return_dtype=pl.String)).alias(texts.name)


def _octet(text: pl.Expr, mask: int) -> pl.Expr:
    if mask in (0, 255):
        return text if mask else pl.lit("0")
    return (text.cast(pl.UInt8, strict=False) & mask).cast(pl.String)


def _network(text: str, bits4: int, bits6: int) -> str | None:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return None  # the group of what is no address is none
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return str(ipaddress.IPv6Network((int(address), bits6), strict=False))
        address = mapped
    return str(ipaddress.IPv4Network((int(address), bits4), strict=False))
