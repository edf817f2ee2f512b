"""What a decoder must give: the columns wanted of a source, and how decoded columns become a chunk.

Always holds: a record is either in the frame or in the rejects, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from connectors.sources.contract import Chunk, Context, Position, frame_schema
from connectors.sources.formats.rejected import Refusals, Reject, frame_of
from schemas.columns import LINE, OP, POSITION, polars_type
from schemas.errors import InvalidInput, Mistake
from schemas.task.changes import ORDERED_BY
from schemas.task.model import Column

FILE_SHIFT: Final = 40  # a source's files follow one another: the file's rank stands above the record's place


class Shape:
    """The columns that a source's decoder looks for, and what becomes of them."""

    def __init__(self, columns: dict[str, Column], context: Context) -> None:
        self.columns = columns
        self.changes = context.changes
        self.schema = frame_schema(columns, context)
        self.wanted = columns | self._told_changes(columns, context)
        self.marks = self._marks(columns, context)
        self._ours = dict(context.rename)
        self._theirs = {ours: theirs for theirs, ours in context.rename.items()}
        unknown = sorted(set(self._ours.values()) - set(self.wanted))
        if unknown:
            raise _mistake(context, "rename", f"{unknown[0]} is no column of the table", "name a declared column")

    @staticmethod
    def _told_changes(columns: dict[str, Column], context: Context) -> dict[str, Column]:
        """Columns read for their meaning alone: which record is a deletion, which change came last."""
        extra: dict[str, Column] = {}
        changes = context.changes
        if changes is None:
            return extra
        if changes.delete and changes.delete.column not in columns:
            extra[changes.delete.column] = Column(type="string")
        if changes.order_by:
            ordering = columns.get(changes.order_by)
            if ordering is None:
                extra[changes.order_by] = Column(type="int64")
            elif ordering.type not in ORDERED_BY:
                wrong = f"{changes.order_by} is a {ordering.type}"
                raise _mistake(context, "changes.order_by", wrong, f"order by a column of {', '.join(ORDERED_BY)}")
        return extra

    @staticmethod
    def _marks(columns: dict[str, Column], context: Context) -> frozenset[str]:
        """The undeclared column that tells deletions: any scalar will do."""
        delete = context.changes.delete if context.changes else None
        return frozenset({delete.column} - set(columns)) if delete else frozenset()

    def theirs(self, name: str) -> str:
        """The source's name of our column."""
        return self._theirs.get(name, name)

    def name(self, theirs: str) -> str:
        """Our name of a source's column."""
        return self._ours.get(theirs, theirs)

    def empty(self, height: int, name: str) -> pl.Series:
        column = self.wanted[name]
        return pl.Series(name, [None], dtype=polars_type(column.type, column.scale)).new_from_index(0, height)

    def record(self, read: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any] | None:
        """The declared columns of a record that is rejected: what was read of it, else what its source tells.

        None where a text is no text, so that what would be kept for it is not what was there.
        """
        found: dict[str, Any] = {}
        for name, column in self.columns.items():
            value = read.get(name)
            found[name] = told.get(self.theirs(name)) if value is None else value
            if isinstance(found[name], bytes) and column.type != "binary":
                return None
        return found

    def finish(
        self,
        typed: pl.DataFrame,
        lines: pl.Series,
        places: pl.Series,
        refusals: Refusals,
        op: pl.Series | None = None,
    ) -> pl.DataFrame:
        """The frame of a chunk, and into the refusals what has no place in the order of changes.

        `places` orders changes where no column does; `op` is 1 where the source itself says deletion.
        """
        frame = typed.with_columns(lines.cast(pl.Int64).alias(LINE))
        if self.changes is not None:
            order = places if self.changes.order_by is None else self._order(frame[self.changes.order_by], refusals)
            deleted = pl.repeat(0, frame.height, dtype=pl.Int8, eager=True) if op is None else op
            if self.changes.delete is not None:
                equals = self.changes.delete.equals
                told = frame[self.changes.delete.column].cast(pl.String)
                matches = told.is_in([equals] if isinstance(equals, str) else equals).fill_null(False)
                deleted = (matches | (deleted == 1)).cast(pl.Int8)
            refusals.order = order
            frame = frame.with_columns(order.cast(pl.Int64).alias(POSITION), deleted.cast(pl.Int8).alias(OP))
        if refusals.rows:
            frame = frame.filter(refusals.kept(frame.height))
        return frame.select(list(self.schema))

    def _order(self, values: pl.Series, refusals: Refusals) -> pl.Series:
        if values.null_count():
            refusals.add(
                values.name,
                "is empty, but the source's changes are ordered by it",
                values.is_null().arg_true(),
            )
        return values.to_physical().cast(pl.Int64)

    def chunk(self, frame: pl.DataFrame | None, rejects: list[Reject], position: Position, at_end: bool) -> Chunk:
        frame = pl.DataFrame(schema=self.schema) if frame is None else frame
        return Chunk(frame, frame_of(rejects), frame.height + len(rejects), position, at_end)


def _mistake(context: Context, path: str, wrong: str, right: str) -> InvalidInput:
    return InvalidInput([Mistake("task", 0, f"sources.{context.source}.{path}", wrong, right)])
