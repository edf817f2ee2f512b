"""`anatomize`: cuts the link between a record and its sensitive value, and keeps both exact (R-A3).

The sensitive column leaves the table for one of its own. What links the two is a random group of records: the table has
`group` instead of the column, and the table TABLE_COLUMN says which values the group has, each once. So a value belongs
to a record with odds of one to `l` at best, while counts and distributions over the values stay what they were.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from pydantic import Field

from processors.anonymize.grouping import COUNTED
from processors.anonymize.protocol import Batch, Columns, Example, Formed, Treatment, column_of
from processors.privacy.groups.anatomy import COUNT, GROUP, Infeasible, anatomize
from processors.privacy.groups.beforehand import Needs
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.errors import Fatal
from schemas.task.model import Strict

_ROW = "row"


class Anatomize:
    """`sensitive` is moved into a table of its own, linked by groups of at least `l` records of different values."""

    class Config(Strict):
        sensitive: str = Field(description="The column that is set apart.")
        l: int = Field(ge=2, description="How many records, and different values, a group has at least.")  # noqa: E741
        subject: str | None = Field(
            default=None, description="The column that tells whose record it is: no group has two of one subject."
        )

    name: ClassVar[str] = "anatomize"
    types: ClassVar[frozenset[ColumnType]] = COUNTED
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "illnesses are set apart from patients",
            {"city": {"type": "string"}, "illness": {"type": "string"}},
            {"sensitive": "illness", "l": 2},
            {"city": ("Oslo", "Rome", "Oslo", None), "illness": ("flu", "cold", "none", "flu")},
        ),
    )

    def plan(self, config: Anatomize.Config, columns: Columns) -> Treatment:
        column = column_of(columns, config.sensitive, self.types, "sensitive")
        if config.subject is not None:
            column_of(columns, config.subject, COUNTED, "subject")
        if config.subject == config.sensitive:
            raise MisfitError("is the sensitive column", "give the column that tells whose record it is", ("subject",))
        if GROUP in columns or config.sensitive in (GROUP, COUNT):
            raise MisfitError("needs the names group and count for itself", "rename the column", ("sensitive",))

        def form(whole: Batch) -> Formed:
            rows = whole.frame.with_row_index(_ROW)
            found = anatomize(rows, [_ROW], config.sensitive, config.l, whole.draw, config.subject)
            if not isinstance(found, Infeasible):
                groups = found.qit.sort(_ROW).select(GROUP)
                return Formed(groups, pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True), found.st)
            if not whole.window:
                raise Fatal(str(found))
            held = pl.repeat(False, rows.height, dtype=pl.Boolean, eager=True)
            groups = pl.repeat(None, rows.height, dtype=pl.Int64, eager=True).alias(GROUP).to_frame()
            st: dict[str, pl.DataType] = {GROUP: pl.Int64(), config.sensitive: column.kind.polars, COUNT: pl.Int64()}
            return Formed(groups, held, pl.DataFrame(schema=st))

        return Treatment(
            outputs={GROUP: "int64"},
            form=form,
            looks=tuple(dict.fromkeys([config.sensitive, *([config.subject] if config.subject else [])])),
            removes=(config.sensitive,),
            suffix=config.sensitive,
            linked={GROUP: "int64", config.sensitive: column.type, COUNT: "int64"},
            needs=Needs(subject=config.subject, apart=(config.sensitive, config.l)),
        )
