"""Forms of texts at the speed of their bytes, where a column is all ASCII; the same as polars gives one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

Quick = Literal["trim", "lower", "upper"]
QUICK: Final = frozenset(get_args(Quick))

_ASCII: Final[dict[Quick, Callable[[Any], Any]]] = {
    "trim": pc.ascii_trim_whitespace,
    "lower": pc.ascii_lower,
    "upper": pc.ascii_upper,
}
_ANY: Final[dict[Quick, Callable[[pl.Series], pl.Series]]] = {
    "trim": lambda texts: texts.str.strip_chars(),
    "lower": lambda texts: texts.str.to_lowercase(),
    "upper": lambda texts: texts.str.to_uppercase(),
}
_NOTHING: Final = np.empty(0, dtype=np.uint8)


def formed(value: pl.Expr, forms: Sequence[Quick]) -> pl.Expr:
    """The texts in these forms, one after the other."""

    def apply(texts: pl.Series) -> pl.Series:
        array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        if _is_ascii(array):
            for form in forms:
                array = _ASCII[form](array)
            return pl.Series(texts.name, array, dtype=pl.String)
        for form in forms:
            texts = _ANY[form](texts)
        return texts

    return value.map_batches(apply, return_dtype=pl.String, is_elementwise=True)


def _is_ascii(array: pa.Array) -> bool:
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    held = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]] if data is not None else _NOTHING
    return bool(held.max(initial=0) < 128)
