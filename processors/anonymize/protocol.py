"""What an anonymization method is: a config, a treatment of some columns, and examples that run as tests.

A method sees values, declared types and keyed randomness; it never sees a key column's meaning, a topic or a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from processors.anonymize.randomness import Draw
from processors.privacy.groups.beforehand import Needs
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Column


@dataclass(frozen=True)
class Batch:
    """What a treatment may look at. A window is a part of endless data; a snapshot is emitted whole.

    `on_its_way`: what comes out is sent as a batch, so tokens need not be written as text here (`schemas/tokens.py`).
    """

    frame: pl.DataFrame
    draw: Draw
    window: bool
    others: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # other tables of the task, as they came
    on_its_way: bool = False


@dataclass(frozen=True)
class Beside:
    """Columns of another table of the task that a method looks at, and the options that say so."""

    table: str
    columns: Mapping[str, Column]
    at: tuple[str | int, ...]


@dataclass(frozen=True)
class Formed:
    """What a method makes of a whole table: the columns it writes, and which rows it leaves out (`kept` is false).

    `linked`: the rows of a second table that it makes beside. `presence`: the least and the most share of a published
    group's people in a population that the table has.
    """

    columns: pl.DataFrame
    kept: pl.Series
    linked: pl.DataFrame | None = None
    presence: tuple[float, float] | None = None


@dataclass(frozen=True)
class Leaving:
    """What all methods that look at a table as a whole let through, and how many records each of them left out;
    `presence` as the one says that formed groups."""

    rows: pl.DataFrame
    linked: pl.DataFrame | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    presence: tuple[float, float] | None = None


@dataclass(frozen=True)
class Numbered:
    """A table in numbered groups: of each row its group, -1 where it is left out; of each group what is published."""

    of_row: NDArray[np.int32]
    names: pl.DataFrame
    presence: tuple[float, float] | None = None

    def published(self, start: int, rows: int) -> tuple[pl.DataFrame, pl.Series]:
        """Of so many rows from one on: the columns that are written, and whether they stay."""
        groups = pl.Series(self.of_row[start : start + rows])
        kept = groups >= 0
        places = groups.set(~kept, None).cast(pl.UInt32)
        return pl.DataFrame([column.gather(places) for column in self.names.get_columns()]), kept

    @property
    def left_out(self) -> int:
        return int(np.count_nonzero(self.of_row < 0))


@dataclass(frozen=True)
class Windows:
    """A method that forms groups forms them in windows of a continuous run, and what it published stays as it is.

    `limit`: the share of the records that may be left out. `diverse`: groups keep more than k.
    """

    k: int
    records: int
    delay: float  # seconds
    limit: float
    subject: str | None = None
    diverse: bool = False


Columns = Mapping[str, Column]
Treat = Callable[[Batch], list[pl.Expr | pl.Series]]
Form = Callable[[Batch], Formed]  # of the whole table
Number = Callable[[Iterable[pl.DataFrame]], Numbered]  # of the whole table in parts


@dataclass(frozen=True)
class Treatment:
    """A method with its config: which columns it writes and of what type, and how.

    Most treat records as they pass. One that gives a guarantee for groups of records has `form` instead: it sees the
    columns in `looks` of all records of the table at once. Where the guarantee can't be had it raises `Fatal`, or of a
    table that still grows keeps nothing. It may take columns out of the table (`removes`) and put them into a second
    one (`linked`), whose name ends in `suffix`. One that `clears` forms no groups: it leaves records out or empties
    cells before another forms them. `beside` are other tables that it looks at. `needs`: what can be told of a table
    before it is formed. `number` does what `form` does, of a snapshot's table that comes in parts, since it may be too
    large to be held. `keeps` are columns of whose values each group was promised something, and by which option.
    `reads` are the columns that `treat` looks at, None where that may be any: a column that is written and that nothing
    looks at goes no further than the rules.
    """

    outputs: Mapping[str, ColumnType]
    treat: Treat = lambda _: []
    form: Form | None = None
    looks: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    suffix: str = ""
    linked: Mapping[str, ColumnType] = field(default_factory=dict)
    clears: bool = False
    beside: tuple[Beside, ...] = ()
    needs: Needs | None = None
    number: Number | None = None
    windows: Windows | None = None
    keeps: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Example:
    """`given` and `gives` are columns of values; where `gives` is None the values are random."""

    says: str
    columns: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    given: Mapping[str, tuple[Any, ...]]
    gives: Mapping[str, tuple[Any, ...]] | None = None


class Anonymization(Protocol):
    """One file below `processors/anonymize`; its name is what `method:` says."""

    name: ClassVar[str]
    types: ClassVar[frozenset[ColumnType]]
    Config: ClassVar[type[BaseModel]]
    examples: ClassVar[tuple[Example, ...]]

    def plan(self, config: Any, columns: Columns) -> Treatment:
        """The treatment; raises `MisfitError` where the config does not fit the columns."""
        ...


def column_of(columns: Columns, name: str, types: frozenset[ColumnType], *at: str | int) -> Column:
    """The declared column, of one of these types."""
    if name not in columns:
        raise MisfitError(f"{name} is no column of the table", f"columns are {', '.join(columns)}", at)
    column = columns[name]
    if column.type not in types:
        raise MisfitError(f"{name} is of type {column.type}", f"fits {', '.join(sorted(types))}", at)
    return column
