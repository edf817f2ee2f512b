"""A column that comes in parts, held as codes of its values; what is asked of it is asked of each value once.

Always holds: a column of few values takes a byte or two for each row, however long the values are. Numbers and moments
of very many values are held as they are. Knows no method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from processors.privacy.domains.dimension import Survey, survey
from processors.privacy.domains.points import Codes
from schemas.task.model import Column

FEW: Final = 2**16  # values of other types than text, at most, that are told by codes


class Coded:
    """0 stands for null, n for the n-th value that came up. Of float64 none: as NaN tells, equal isn't the same."""

    def __init__(self, column: Column) -> None:
        self._kind, self._type = column.type, column.kind.polars
        self._categories = pl.Categories.random(physical=pl.UInt32)
        self._holds = pl.Series(
            [], dtype=pl.Categorical(self._categories)
        )  # they are forgotten once no series has them
        self._known: pl.DataFrame | None = None  # values, where they are no texts
        if self._type != pl.String:
            self._known = pl.DataFrame({"v": pl.Series([], dtype=self._type)}).with_row_index("c", offset=1)
        self._codes: list[NDArray[np.unsignedinteger]] = []
        self._parts: list[pl.Series] = []  # as they are
        self._as_is = column.type == "float64"
        self._nulls = False

    def add(self, values: pl.Series) -> None:
        self._nulls = self._nulls or bool(values.null_count())
        if self._as_is:
            self._parts.append(values)
            return
        codes = self._told(values)
        if self._known is not None and self._known.height > FEW:
            self._parts = [self._values(part) for part in self._codes] + [values]
            self._codes, self._as_is = [], True
            return
        most = len(self._distinct())
        width = pl.UInt8() if most < 2**8 else pl.UInt16() if most < 2**16 else pl.UInt32()
        self._codes.append(codes.cast(width).to_numpy())

    def values(self) -> pl.Series:
        """Every value once, null among them if there are some."""
        if self._as_is:
            return pl.concat([pl.Series([], dtype=self._type), *(part.unique() for part in self._parts)]).unique()
        found = self._distinct()
        return pl.concat([found.clear(1), found]) if self._nulls else found

    def survey(self) -> Survey:
        if not self._as_is:
            return survey(self._distinct(), self._kind)
        found = Survey()
        for part in self._parts:
            found = found.joined(survey(part, self._kind))
        return found

    def taken(self, code: Callable[[pl.Series], Codes]) -> Codes:
        """What each row's value is to `code`. The column is let go."""
        if self._as_is:
            parts, self._parts = self._parts, []
            return np.concatenate([code(part) for part in parts]) if parts else np.empty(0, dtype=np.uint8)
        distinct = self._distinct()
        table = code(pl.concat([distinct.clear(1), distinct]))  # null first
        codes, self._codes = self._codes, []
        return np.concatenate([table[part] for part in codes]) if codes else table[:0]

    def _told(self, values: pl.Series) -> pl.Series:
        if self._known is None:
            return (values.cast(self._holds.dtype).to_physical() + 1).fill_null(0)
        fresh = values.drop_nulls().unique().alias("v").to_frame().join(self._known, on="v", how="anti")
        numbered = fresh.with_row_index("c", offset=self._known.height + 1)
        self._known = pl.concat([self._known, numbered])
        found = values.alias("v").to_frame().join(self._known, on="v", how="left", maintain_order="left")
        return found["c"].fill_null(0)

    def _distinct(self) -> pl.Series:
        if self._known is not None:
            return self._known["v"]
        return self._categories.to_series().cast(pl.String)

    def _values(self, codes: NDArray[np.unsignedinteger]) -> pl.Series:
        places = pl.Series(codes).cast(pl.Int64) - 1
        return self._distinct().gather(places.set(places < 0, None))
