"""The record-wise steps of a table: filters and derived columns, over a batch.

Always holds: a record is kept, dropped by a filter, or rejected because an expression could not be computed for
it; a reject leaves as it came. Columns that no step names pass through untouched. Knows no source and no merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from processors.outcome import REJECT_COLUMN, REJECT_REASON, REJECT_RULE, Outcome, rejected_none
from processors.transform.expression import Compiled, ExpressionError, compile_expression, kinds_of
from processors.wrong_config import Path, Wrong
from schemas.columns import ColumnType
from schemas.task.model import Kind, Step

_ROW: Final = "~row"
_WHY: Final = "~why"


@dataclass(frozen=True)
class Operation:
    """A filter, or one derived column, which then is `column`."""

    rule: str
    column: str
    compiled: Compiled
    filters: bool = False


@dataclass(frozen=True)
class RecordTransform:
    """The steps of a table before its aggregate; `columns` are those it gives, `rules` its filters."""

    columns: dict[str, Kind]
    operations: tuple[Operation, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(operation.rule for operation in self.operations if operation.filters)

    def apply(self, frame: pl.DataFrame) -> Outcome:
        risky = any(operation.compiled.failure is not None for operation in self.operations)
        work = frame.with_row_index(_ROW) if risky else frame
        dropped: dict[str, int] = {}
        rejects: list[pl.DataFrame] = []
        for operation in self.operations:
            work = _sound(work, operation, rejects)
            if operation.filters:
                before = work.height
                work = work.filter(operation.compiled.expr)
                if before > work.height:
                    dropped[operation.rule] = before - work.height
            else:
                work = work.with_columns(operation.compiled.expr.alias(operation.column))
        kept = work.drop(_ROW) if risky else work
        return Outcome(kept, dropped, _rejected(frame, rejects))


def _sound(work: pl.DataFrame, operation: Operation, rejects: list[pl.DataFrame]) -> pl.DataFrame:
    """The records for which the expression can be computed; the others are noted."""
    if operation.compiled.failure is None:
        return work
    why = work.select(_ROW, operation.compiled.failure.alias(_WHY))[_WHY]
    if why.null_count() == len(why):
        return work
    failed = why.is_not_null()
    marks = work.filter(failed).select(
        _ROW,
        pl.lit(operation.column).alias(REJECT_COLUMN),
        pl.lit(operation.rule).alias(REJECT_RULE),
        why.filter(failed).alias(REJECT_REASON),
    )
    rejects.append(marks)
    return work.filter(~failed)


def _rejected(frame: pl.DataFrame, rejects: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if not rejects:
        return rejected_none(frame)
    marks = pl.concat(rejects).sort(_ROW)
    return pl.concat([frame[marks[_ROW]], marks.drop(_ROW)], how="horizontal")


@dataclass
class _Compiler:
    columns: dict[str, Kind]
    taken: set[str]
    operations: list[Operation] = field(default_factory=list)
    mistakes: list[Wrong] = field(default_factory=list)
    filters: int = 0
    derives: int = 0

    def filter(self, text: str, path: Path) -> None:
        self.filters += 1
        rule = "transform.filter" if self.filters == 1 else f"transform.filter.{self.filters}"
        compiled = self.compiled(text, path)
        if compiled is None:
            return
        if compiled.type != "bool":
            right = "write a condition, such as quantity > 0"
            self.mistakes.append(Wrong(path, f"a filter of type {compiled.type}", right))
            return
        column = min(compiled.uses, default="")
        self.operations.append(Operation(rule, column, compiled, filters=True))

    def derive(self, columns: Mapping[str, str], path: Path) -> None:
        self.derives += 1
        rule = "transform.derive" if self.derives == 1 else f"transform.derive.{self.derives}"
        for name, text in columns.items():
            here = (*path, name)
            if name.lower() in self.taken:
                self.mistakes.append(Wrong(here, f"there is a column {name} already", "give it another name"))
                continue
            compiled = self.compiled(text, here)
            self.taken.add(name.lower())
            if compiled is not None:
                self.columns[name] = compiled.kind
                self.operations.append(Operation(rule, name, compiled))

    def compiled(self, text: str, path: Path) -> Compiled | None:
        try:
            return compile_expression(text, self.columns)
        except ExpressionError as error:
            self.mistakes.append(Wrong(path, f"at character {error.position}: {error.wrong}", error.right))
            return None


def read_steps(
    steps: Sequence[Step], columns: Mapping[str, Kind | ColumnType], taken: Iterable[str] = ()
) -> tuple[RecordTransform, list[Wrong]]:
    """What can be compiled of the steps, and every mistake, paths beginning with the step's index.

    A column that is derived is seen by what follows it. `taken` are names it can't have beside the columns'.
    """
    compiler = _Compiler(kinds_of(columns), {name.lower() for name in [*columns, *taken]})
    for index, step in enumerate(steps):
        if step.filter is not None:
            compiler.filter(step.filter, (index, "filter"))
        if step.derive is not None:
            compiler.derive(step.derive, (index, "derive"))
    return RecordTransform(compiler.columns, tuple(compiler.operations)), compiler.mistakes
