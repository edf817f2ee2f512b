"""How texts of one form are masked: which characters of a card, a phone number or an account may stay, and how.

Always holds: what does not have its form is hidden whole; so is a value of which more than half would stay; check
digits are hidden unless asked for, since they tell a tenth of all guesses from the rest. Knows no method or config.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

# country codes are 1 and 7, these of two digits, and all others of three
_TWO_DIGITS = [
    *(20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58),
    *(60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98),
]
FEW = 3  # separators that are faster found one by one than all at once
HOME = 1000  # in place of the first three digits of a number without a country


def _countries() -> pl.DataFrame:
    """By the first three digits: how many of them are the country's code, and how it is written."""
    sizes = [1 if digits // 100 in (1, 7) else 2 if digits // 10 in _TWO_DIGITS else 3 for digits in range(HOME)]
    shown = [f"+{f'{digits:03}'[:size]} " for digits, size in enumerate(sizes)]
    return pl.DataFrame({"size": [*sizes, 0], "shown": [*shown, ""]}, schema_overrides={"size": pl.UInt32})


_COUNTRIES = _countries()
_SEPARATORS = {"phone": [" ", "-", "/", ".", "(", ")"], "card": [" ", "-"], "iban": [" ", "-"]}
_SOUND = {"phone": r"^\+?[0-9]{5,20}$", "card": r"^[0-9]{12,19}$", "iban": r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"}


@dataclass(frozen=True)
class Cover:
    """How much stays, what is written for the rest, and how long the result is; without a length as long as it was."""

    first: int
    last: int
    char: str
    length: int | None

    @property
    def kept(self) -> int:
        return self.first + self.last

    def whole(self, value: pl.Expr) -> pl.Expr:
        """The value with nothing of it kept."""
        if self.length is None:
            return value.str.replace_all(r"(?s).", self.char.replace("$", "$$"))
        return pl.when(value.is_not_null()).then(pl.lit(self.char * self.length))

    def parts(self, value: pl.Expr, ahead: int = 0) -> list[pl.Expr]:
        """What is kept and what stands for the rest; `ahead` characters of the length stand before it."""
        if self.length is None:
            size = value.str.len_chars()
            middle = self.whole(value).str.slice(0, size - pl.min_horizontal(pl.lit(self.kept, dtype=pl.UInt32), size))
        else:
            middle = pl.lit(self.char * (self.length - self.kept - ahead))
        first = [value.str.head(self.first)] if self.first else []
        last = [value.str.tail(self.last)] if self.last else []
        return [*first, middle, *last]


def covered(value: pl.Expr, cover: Cover) -> pl.Expr:
    """A text of any form."""
    if not cover.kept:
        return cover.whole(value)
    enough = value.str.len_chars() >= 2 * cover.kept
    return pl.when(enough).then(pl.concat_str(cover.parts(value))).otherwise(cover.whole(value))


def email(value: pl.Expr, cover: Cover, keep_domain: bool) -> pl.Expr:
    """The part before the @ by itself; of what follows it nothing shows, not even its length, unless asked for."""
    if keep_domain:
        return value.map_batches(lambda texts: _with_domain(texts, cover), return_dtype=pl.String)
    parts = value.str.splitn("@", 2).struct
    hidden = pl.when(parts.field("field_1").is_not_null()).then(pl.lit("@" + 3 * cover.char)).otherwise(pl.lit(""))
    return pl.concat_str(covered(parts.field("field_0"), cover), hidden)


def _with_domain(addresses: pl.Series, cover: Cover) -> pl.Series:
    """The domain stands behind the last @; the few addresses that have several are looked at by themselves."""
    frame = addresses.alias("value").to_frame().with_columns(part=pl.col("value").str.splitn("@", 2)).unnest("part")
    domain = pl.concat_str(pl.lit("@"), "field_1")
    written = pl.coalesce(pl.concat_str(covered(pl.col("field_0"), cover), domain), covered(pl.col("value"), cover))
    out = frame.select(written.alias(addresses.name)).to_series()
    several = frame.select(pl.col("field_1").str.contains("@", literal=True)).to_series().arg_true()
    if not len(several):
        return out
    name, domain = pl.col("value").str.extract(r"(?s)^(.*)@"), pl.col("value").str.extract(r"(@[^@]*)$")
    return out.scatter(several, frame[several].select(pl.concat_str(covered(name, cover), domain)).to_series())


def phone(value: pl.Expr, cover: Cover, keep_country: bool) -> pl.Expr:
    """The digits of a phone number; with its country code, where it has one, before them."""
    if keep_country:
        return value.map_batches(lambda numbers: _with_country(numbers, cover), return_dtype=pl.String)
    bare = _bare(value, "phone")
    digits = bare.str.strip_prefix("+") if cover.first else bare
    size = bare.str.len_chars() - bare.str.starts_with("+").cast(pl.UInt32)
    return _if_sound(value, bare, "phone", cover, cover.parts(digits), size)


def _with_country(numbers: pl.Series, cover: Cover) -> pl.Series:
    """In steps of their own, since each is needed several times; what is not sound is not looked at."""
    bare, before, cut = pl.col("bare"), pl.col("before"), pl.col("cut")
    frame = pl.DataFrame({"value": numbers}).with_columns(bare=_bare(pl.col("value"), "phone", _written(numbers)))
    zeros = bare.str.starts_with("00") | bare.str.starts_with("+00")
    frame = frame.with_columns(before=bare.str.starts_with("+").cast(pl.UInt32) + 2 * zeros)
    dialled = bare.str.slice(_alike(frame["before"]), 3).cast(pl.UInt16, strict=False)
    frame = frame.with_columns(code=pl.when(before > 0).then(dialled).fill_null(HOME))
    frame = frame.with_columns(_COUNTRIES["shown"].gather(frame["code"]), _COUNTRIES["size"].gather(frame["code"]))
    frame = frame.with_columns(cut=before + pl.col("size"))
    # what is kept at the end, all that there is of a number of fixed length, is there in the number with its country
    without = bare.str.slice(cut) if cover.first or cover.length is None else bare
    parts = [pl.col("shown"), *cover.parts(without)]
    return frame.select(_if_sound(pl.col("value"), bare, "phone", cover, parts, bare.str.len_chars() - cut)).to_series()


def _alike(numbers: pl.Series) -> int | pl.Expr:
    """The number where it is the same for all texts, which are cut faster then, or that of each."""
    least = numbers.min()
    return least if isinstance(least, int) and least == numbers.max() else pl.col(numbers.name)


def card(value: pl.Expr, cover: Cover, keep_check: bool) -> pl.Expr:
    """The digits of a card; the last one is the check digit."""
    bare = _bare(value, "card")
    parts = cover.parts(bare)
    if cover.last and not keep_check:
        shown = [bare.str.slice(-cover.last, cover.last - 1)] if cover.last > 1 else []
        parts = [*parts[:-1], *shown, pl.lit(cover.char)]
    return _if_sound(value, bare, "card", cover, parts)


def iban(value: pl.Expr, cover: Cover, keep_country: bool, keep_check: bool) -> pl.Expr:
    """The account behind country and check digits, and of these what is asked for."""
    bare = _bare(value.str.to_uppercase(), "iban")
    account = bare.str.slice(4)
    country = bare.str.head(2) if keep_country else pl.lit(2 * cover.char)
    check = bare.str.slice(2, 2) if keep_check else pl.lit(2 * cover.char)
    return _if_sound(
        value, bare, "iban", cover, [country, check, *cover.parts(account, ahead=4)], account.str.len_chars()
    )


def matches(value: pl.Expr, pattern: str, cover: Cover) -> pl.Expr:
    """The text with every match of the expression hidden."""
    return value.str.replace_all(pattern, (cover.char * (cover.length or 0)).replace("$", "$$"))


def _bare(value: pl.Expr, form: str, written: str | None = None) -> pl.Expr:
    """Without separators; one after the other if they are few, of which only those in `written` are looked for."""
    separators = [own for own in _SEPARATORS[form] if written is None or own in written]
    if len(separators) > FEW:
        return value.str.replace_many(separators, [""])
    for separator in separators:
        value = value.str.replace_all(separator, "", literal=True)
    return value


def _written(values: pl.Series) -> str:
    """All of them as one text."""
    text: str = values.str.join("").item()
    return text


def _if_sound(
    value: pl.Expr, bare: pl.Expr, form: str, cover: Cover, parts: list[pl.Expr], size: pl.Expr | None = None
) -> pl.Expr:
    """The parts, or everything hidden where the value has another form or more than half of its size would stay."""
    sound = bare.str.contains(_SOUND[form])
    if cover.kept:
        sound &= (bare.str.len_chars() if size is None else size) >= 2 * cover.kept
    return pl.when(sound).then(pl.concat_str(parts)).otherwise(cover.whole(value))
