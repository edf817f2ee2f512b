"""Records that are kept as JSON, read as their columns declare.

Always holds: values may be JSON's own or the text that a file would have; both are read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from connectors.sources.formats.rejected import Refusals
from connectors.sources.formats.texts import TextOptions, read_texts
from schemas.task.model import Column


def read_again(
    records: Sequence[Mapping[str, Any]], columns: dict[str, Column], options: TextOptions
) -> tuple[pl.DataFrame, Refusals]:
    """The columns of each record; a value that can't be read is null, and its record among the refusals."""
    texts = pl.DataFrame(
        {name: [_text(record.get(name)) for record in records] for name in columns},
        schema=dict.fromkeys(columns, pl.String),
    )
    return read_texts(texts, columns, options)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
