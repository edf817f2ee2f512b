"""What fell of a source that tells changes, as deletions: what it replaces must not stand on.

Always holds: a record whose key or whose place in the order of changes can't be told withdraws nothing, and nothing
is withdrawn in another source. Rules bring a deletion into form and never drop it.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import polars as pl

from connectors.sources.formats.again import read_again
from connectors.sources.formats.texts import TextOptions
from processors.plan import TablePlan
from processors.worker.letters import ROW
from schemas.columns import OP, POSITION

_DELETED = pl.lit(1, dtype=pl.Int8).alias(OP)


def withdrawn_by_rule(rows: pl.DataFrame, kept: pl.DataFrame, table: TablePlan) -> Iterator[pl.DataFrame]:
    """The records that were read and not kept."""
    if OP not in rows.columns or not table.merge.key:
        return
    fell = rows.filter(pl.col(OP) == 0).join(kept.select(ROW), on=ROW, how="anti", maintain_order="left")
    if fell.height:
        yield _keyed(fell.with_columns(_DELETED), table)


def withdrawn_unread(bad: pl.DataFrame, table: TablePlan, source: int) -> pl.DataFrame:
    """The records that could be cut into columns, though not every column could be read."""
    told = bad.drop_nulls(["_record", POSITION])
    records = [orjson.loads(record) for record in told.get_column("_record").to_list()]
    columns, _ = read_again(records, table.declared, TextOptions.told(table.source_options[source]))
    return _keyed(columns.with_columns(told.get_column(POSITION), _DELETED), table)


def _keyed(deletions: pl.DataFrame, table: TablePlan) -> pl.DataFrame:
    """The key is the one that the rules of its columns give."""
    return table.rules.apply(deletions).kept.drop_nulls(list(table.merge.key))
