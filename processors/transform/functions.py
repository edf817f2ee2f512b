"""Functions of text, by PostgreSQL's rules; positions count characters, from 1."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
from sqlglot import exp

from processors.transform.casts import texts
from processors.transform.terms import (
    BOOL,
    INT,
    STRING,
    Fail,
    Term,
    WrongError,
    joined,
    need,
    typed_null,
)


def whole(node: exp.Expression, term: Term, what: str) -> Term:
    need(node, term, {"int64"}, what)
    return typed_null(term, INT)


def simple(node: exp.Expression, term: Term) -> Term:
    """lower, upper, length, reverse, initcap."""
    text = texts(node, term)
    if isinstance(node, exp.Length):
        return text.over(text.expr.str.len_chars().cast(pl.Int64), INT)
    value = text.expr.str
    made: dict[type[exp.Expression], Any] = {
        exp.Lower: value.to_lowercase,
        exp.Upper: value.to_uppercase,
        exp.Reverse: value.reverse,
        exp.Initcap: value.to_titlecase,
    }
    return text.over(made[type(node)](), STRING)


def trimmed(node: exp.Expression, term: Term, letters: Term | None) -> Term:
    text = texts(node, term)
    if letters is not None and not isinstance(letters.literal, str):
        raise WrongError(node, "trim needs characters that are written down", "write trim(both 'x' from a)")
    which = " " if letters is None else letters.literal
    if not which:
        return text
    position = str(node.args.get("position") or "BOTH").upper()
    strip = {
        "LEADING": text.expr.str.strip_chars_start,
        "TRAILING": text.expr.str.strip_chars_end,
        "BOTH": text.expr.str.strip_chars,
    }[position]
    return text.over(strip(which), STRING)


def sliced(node: exp.Expression, term: Term, start: Term, length: Term | None) -> Term:
    """SUBSTRING: characters before the first count into the length, a negative length fails."""
    text, start = texts(node, term), whole(node, start, "substring")
    begin = pl.max_horizontal(start.expr, pl.lit(1, dtype=pl.Int64))
    known = pl.when(start.expr.is_not_null())
    if length is None:
        return joined(known.then(text.expr.str.slice(begin - 1)), STRING, [text, start])
    length = whole(node, length, "substring")
    end = (start.expr.cast(pl.Int128) + length.expr).clip(1, 2**62).cast(pl.Int64)
    count = pl.max_horizontal(end - begin, pl.lit(0, dtype=pl.Int64))
    cut = known.then(pl.when(length.expr >= 0).then(text.expr.str.slice(begin - 1, count)))
    negative: Fail = ((length.expr < 0).fill_null(False), "substring has a negative length")
    return joined(cut, STRING, [text, start, length], negative)


def side(node: exp.Expression, term: Term, count: Term) -> Term:
    """LEFT and RIGHT; a negative count leaves out that many from the other end."""
    text, count = texts(node, term), whole(node, count, "left")
    amount = count.expr.clip(-(2**31), 2**31)
    taken = text.expr.str.head(amount) if isinstance(node, exp.Left) else text.expr.str.tail(amount)
    known = count.expr.is_not_null() & text.expr.is_not_null()
    return joined(pl.when(known).then(taken), STRING, [text, count])


def replaced(node: exp.Expression, term: Term, old: Term, new: Term) -> Term:
    text = texts(node, term)
    if not isinstance(old.literal, str):
        raise WrongError(node, "replace needs a text that is written down", "write replace(a, 'x', 'y')")
    by = texts(node, new)
    if not old.literal:
        return text
    changed = text.expr.str.replace_all(old.literal, by.expr, literal=True)
    return joined(pl.when(by.expr.is_not_null()).then(changed), STRING, [text, by])


def split(node: exp.Expression, term: Term, delimiter: Term, index: Term) -> Term:
    """SPLIT_PART: the nth field, from the end where n is negative; empty where there is none."""
    text = texts(node, term)
    if not isinstance(delimiter.literal, str) or not delimiter.literal or not isinstance(index.literal, int):
        raise WrongError(node, "split_part needs a delimiter and a number", "write split_part(a, ',', 2)")
    if index.literal == 0:
        raise WrongError(node, "fields count from 1", "write 1 for the first, -1 for the last")
    at = index.literal - 1 if index.literal > 0 else index.literal
    fields = text.expr.str.split(delimiter.literal).list.get(at, null_on_oob=True)
    return text.over(pl.when(text.expr.is_not_null()).then(fields.fill_null("")), STRING)


def position(node: exp.Expression, term: Term, part: Term) -> Term:
    """POSITION: where the text first stands, 0 where it does not."""
    text = texts(node, term)
    if not isinstance(part.literal, str):
        raise WrongError(node, "position needs a text that is written down", "write position('x' in a)")
    before = text.expr.str.split(part.literal).list.get(0, null_on_oob=True) if part.literal else pl.lit("")
    found = text.expr.str.contains(part.literal, literal=True)
    at = pl.when(found).then(before.str.len_chars().cast(pl.Int64) + 1).otherwise(pl.lit(0, dtype=pl.Int64))
    return text.over(pl.when(text.expr.is_not_null()).then(at), INT)


def padded(node: exp.Expression, term: Term, width: Term, fill: Term | None) -> Term:
    """LPAD and RPAD with one character; what is longer is cut."""
    text = texts(node, term)
    letter = " " if fill is None else fill.literal
    size = width.literal
    if not isinstance(letter, str) or len(letter) != 1 or not isinstance(size, int) or not 0 <= size <= 10_000:
        raise WrongError(node, "padding needs a width and one character", "write lpad(a, 5, '0')")
    cut = text.expr.str.head(size).str
    return text.over(cut.pad_start(size, letter) if node.args.get("is_left") else cut.pad_end(size, letter), STRING)


def begins(node: exp.Expression, term: Term, part: Term) -> Term:
    text, part = texts(node, term), texts(node, part)
    return joined(text.expr.str.starts_with(part.expr), BOOL, [text, part])


def matches(node: exp.Expression, term: Term, pattern: Term) -> Term:
    text = texts(node, term)
    fold = "(?i)" if isinstance(node, exp.RegexpILike) else ""
    return text.over(text.expr.str.contains(fold + _pattern(node, pattern)), BOOL)


def rewritten(node: exp.Expression, term: Term, pattern: Term, by: Term | None, flags: Term | None) -> Term:
    """REGEXP_REPLACE: the first match or, with the flag g, all of them; \\1 stands for a group."""
    text, regex = texts(node, term), _pattern(node, pattern)
    letters = "" if flags is None else flags.literal
    if not isinstance(letters, str) or set(letters) - set("gi"):
        raise WrongError(node, f"the flags {letters} are not known", "write g for every match, i for any case")
    if by is None or not isinstance(by.literal, str):
        right = "write regexp_replace(a, '[0-9]+', '#', 'g')"
        raise WrongError(node, "regexp_replace needs a replacement that is written down", right)
    template = re.sub(r"\\(\d)", r"${\1}", by.literal.replace("$", "$$"))
    regex = f"(?i){regex}" if "i" in letters else regex
    value = text.expr.str
    made = value.replace_all(regex, template) if "g" in letters else value.replace(regex, template)
    return text.over(made, STRING)


def _pattern(node: exp.Expression, pattern: Term) -> str:
    if not isinstance(pattern.literal, str):
        raise WrongError(node, "a pattern is written down", "write a ~ '^[0-9]+$'")
    try:
        pl.select(pl.lit("").str.contains(pattern.literal))
    except pl.exceptions.ComputeError as error:
        right = "write a regular expression without look-around and back-references"
        raise WrongError(node, f"'{pattern.literal}' is no regular expression", right) from error
    return pattern.literal
