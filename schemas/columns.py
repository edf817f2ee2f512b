"""Declared column types and their forms in polars and PostgreSQL.

Names that begin with an underscore are the engine's own; a declared column never does.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import polars as pl

ColumnType = Literal["string", "int64", "float64", "decimal", "bool", "date", "timestamp", "binary", "json"]
COLUMN_TYPES: Final[tuple[str, ...]] = get_args(ColumnType)

DECIMAL_PRECISION: Final = 38
DEFAULT_SCALE: Final = 9

# The engine's own columns.
HASH: Final = "_h"  # UInt64: hash of the key; rows of one key stand together
SOURCE: Final = "_src"  # UInt16: index into the table's sources, in declared order
POSITION: Final = "_pos"  # Int64: order of changes within a source; 0 where the source only adds
OP: Final = "_op"  # Int8: 0 is a record, 1 a deletion
CHANGED: Final = "_chg"  # UInt64: one bit for each entry of the table's list of changes
WEIGHT: Final = "_n"  # Int64: how many records that were read this row stands for; below 0 it is a word on one
LINE: Final = "_line"  # Int64: where the record stood in its source: a line, a row or an offset
IDENTITY: Final = "_id"  # Int64: the record's identity in the review store


def polars_type(kind: ColumnType, scale: int = DEFAULT_SCALE) -> pl.DataType:
    """The polars type that holds a column of the declared type."""
    table: dict[str, pl.DataType] = {
        "string": pl.String(),
        "int64": pl.Int64(),
        "float64": pl.Float64(),
        "decimal": pl.Decimal(DECIMAL_PRECISION, scale),
        "bool": pl.Boolean(),
        "date": pl.Date(),
        "timestamp": pl.Datetime("us", "UTC"),
        "binary": pl.Binary(),
        "json": pl.String(),
    }
    return table[kind]


def postgres_type(kind: ColumnType) -> str:
    """The PostgreSQL type of a column of the declared type."""
    return {
        "string": "text",
        "int64": "bigint",
        "float64": "double precision",
        "decimal": "numeric",
        "bool": "boolean",
        "date": "date",
        "timestamp": "timestamptz",
        "binary": "bytea",
        "json": "text",
    }[kind]
