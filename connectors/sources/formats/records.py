"""What is found in a block of delimited text: its whole records, and those that cannot be cut into fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.sources.formats.marks import Numbers

BOM: Final = b"\xef\xbb\xbf"  # a byte order mark, which is one only where a file begins
LF: Final = 10
CR: Final = 13


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quote: str = '"'  # empty: quotes mean nothing

    def well_placed(self, held: npt.NDArray[np.uint8], quotes: Numbers) -> bool:
        """Whether each opening quote follows a delimiter or a line end, and each closing one precedes such."""
        around = np.zeros(256, dtype=np.bool_)
        around[[ord(self.quote), ord(self.delimiter), LF, CR]] = True
        before, after = quotes[::2] - 1, quotes[1::2] + 1
        opening = held[before[before >= 0]]
        closing = held[after[after < len(held)]]
        return bool(around[opening].all() and around[closing].all())


@dataclass(frozen=True)
class Broken:
    """A record that cannot be cut into fields."""

    start: int
    end: int
    line: int
    reason: str


@dataclass(frozen=True)
class Records:
    """The whole records of a block, blank lines left out."""

    size: int  # bytes consumed
    lines: int  # line ends consumed
    line: Numbers  # of a record's first line, from 0
    limited: bool  # the limit came before the end of the block
    plain: bool  # nothing but LF or CR LF stands between them, and each quote encloses a whole value
    spans: Callable[[], tuple[Numbers, Numbers]] = field(repr=False)  # asked for where single records are looked at
    broken: list[Broken] = field(default_factory=list)

    @property
    def starts(self) -> Numbers:
        """Offsets in the block."""
        return self._spans[0]

    @property
    def ends(self) -> Numbers:
        """Without the line end."""
        return self._spans[1]

    @cached_property
    def _spans(self) -> tuple[Numbers, Numbers]:
        return self.spans()
