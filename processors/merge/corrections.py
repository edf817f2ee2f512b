"""Records that were corrected after they had gone into the merge: what is said of them there, and what follows.

A word is a row that stands for no record: its weight is below zero and holds the number of the correction, `_chg` the
content of the record it speaks of, `_src` and `_pos` the place. It withdraws that record, or says that it stands. Of
the words on a record the last one counts, whenever it came, so the outcome depends on the set of rows alone.

Records of one key that are alike in every stored column are one record to a word, whatever source told them; only
what the word's own source, if it tells changes, says again later is news. A withdrawn record is as if it had never
been in the word's source or in one that only adds; in another source of changes it still ends what was before it.
Each correction counts one record as rejected, the one whose dead letter it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from schemas.columns import CHANGED, HASH, OP, POSITION, SOURCE, WEIGHT

CONTENT = "_content"  # UInt64: what the record holds; alike for equal records of a table
SAID = "_said"  # Int64: number of the last correction that spoke of a record withdrawn before; 0 where there is none

_BY = "_by"
_UPTO = "_upto"
_WORD = "_word"
_ROW = "_row"
_GONE = "_gone"
_SPENT = "_spent"

Contents = Callable[[pl.DataFrame], pl.Series]  # CONTENT of each row


class Heeded(NamedTuple):
    rows: pl.DataFrame  # sorted by hash, without words
    read: int
    replaced: int  # records that were rejected and have a correction


def withdrawal(number: int) -> int:
    """The weight of the word that withdraws a record."""
    return -2 * number


def affirmation(number: int) -> int:
    """The weight of the word that says a record stands; it wins over a withdrawal of the same correction."""
    return -2 * number - 1


def spoken(frame: pl.DataFrame) -> bool:
    """Whether there is any word."""
    return bool((frame.get_column(WEIGHT) < 0).any())


def content_of(
    frame: pl.DataFrame, columns: Sequence[str], seed: int, generate: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    return generate(frame.select(pl.struct(columns).hash(seed)).to_series()).alias(CONTENT)


def heed(frame: pl.DataFrame, changes: frozenset[int], contents: Contents) -> Heeded:
    """The records of `frame` that stand by its words. `changes`: the sources that tell changes."""
    words = _words(frame, bool(changes))
    rows = frame.filter(pl.col(WEIGHT) >= 0)
    read = int(rows.get_column(WEIGHT).sum())
    record = (pl.col(OP) == 0) if changes else pl.lit(True)
    about = rows.select(record & pl.col(HASH).is_in(words.get_column(HASH).unique().implode())).to_series()
    meant = rows.filter(about).with_row_index(_ROW)
    meant = meant.with_columns(contents(meant))
    pairs = meant.join(words, on=[HASH, CONTENT])
    if changes:
        told_anew = pl.col(SOURCE).is_in(sorted(changes)) & (pl.col(SOURCE) == pl.col(_BY))
        pairs = pairs.filter(~told_anew | (pl.col(POSITION) <= pl.col(_UPTO)))
    judged = _spend(_judged(meant, pairs))
    standing = [rows.filter(~about), judged.filter(~pl.col(_GONE)).select(rows.columns)]
    if changes:
        elsewhere = pl.col(SOURCE).is_in(sorted(changes)) & (pl.col(SOURCE) != pl.col(_BY))
        ended = judged.filter(pl.col(_GONE) & elsewhere).with_columns(
            pl.lit(1, dtype=pl.Int8).alias(OP), pl.lit(0, dtype=pl.Int64).alias(WEIGHT)
        )
        standing.append(ended.select(rows.columns))
    replaced = int(judged.get_column(_SPENT).sum())
    return Heeded(pl.concat(standing).sort(HASH), read, replaced)


def _words(frame: pl.DataFrame, placed: bool) -> pl.DataFrame:
    return frame.filter(pl.col(WEIGHT) < 0).select(
        HASH,
        pl.col(CHANGED).alias(CONTENT),
        pl.col(SOURCE).alias(_BY),
        pl.col(WEIGHT).alias(_WORD),
        *([pl.col(POSITION).alias(_UPTO)] if placed else []),
    )


def _withdraws() -> pl.Expr:
    return pl.col(_WORD) % 2 == 0


def _judged(meant: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The rows, each with whether it is gone, by whose word, and how many withdrawals its content has."""
    last = pairs.sort(_WORD).unique(_ROW, keep="first", maintain_order=True)
    last = last.select(_ROW, _BY, _withdraws().alias(_GONE))
    record = [HASH, CONTENT]
    withdrawals = pairs.filter(_withdraws()).group_by(record).agg(pl.col(_WORD).n_unique().cast(pl.Int64).alias(_SPENT))
    judged = meant.join(last, on=_ROW, how="left").join(withdrawals, on=record, how="left")
    return judged.with_columns(pl.col(_GONE).fill_null(False), pl.col(_SPENT).fill_null(0))


def _spend(judged: pl.DataFrame) -> pl.DataFrame:
    """Takes one record off the weights for each withdrawal, first of what is gone; `_spent` then says how many."""
    order = [name for name in (SOURCE, POSITION, CHANGED) if name in judged.columns]
    left = pl.col(WEIGHT).cum_sum().over(HASH, CONTENT) - pl.col(_SPENT)
    left = pl.min_horizontal(left.clip(lower_bound=0), pl.col(WEIGHT))
    return judged.sort([pl.col(HASH), pl.col(CONTENT), ~pl.col(_GONE), *map(pl.col, order)]).with_columns(
        left.alias(WEIGHT), (pl.col(WEIGHT) - left).alias(_SPENT)
    )


def said_of(records: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """`records`, which have HASH and CONTENT, with SAID by the words in `frame`."""
    if not spoken(frame):
        return records.with_columns(pl.lit(0, dtype=pl.Int64).alias(SAID))
    number = (-pl.col(_WORD).min()) // 2
    words = _words(frame, False).group_by(HASH, CONTENT).agg(_withdraws().any().alias(_GONE), number.alias(SAID))
    told = records.join(words.filter(_GONE).drop(_GONE), on=[HASH, CONTENT], how="left", maintain_order="left")
    return told.with_columns(pl.col(SAID).fill_null(0))
