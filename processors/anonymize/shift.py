"""`shift`: moves all dates of a subject by one and the same number of days (R-A5).

What lies between two dates of a subject stays as long as it was; when it happened does not show. The offset is drawn
from the run's key and the subject's value, uniform over the days on either side and never zero, so it is the same in
every table and batch of the run and has mean zero. A record without a subject has an offset of its own. At either end
of the calendar, years 1 and 9999, the offset is reflected. A null stays null.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

import polars as pl
from pydantic import Field

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.randomness import macs, subkey
from processors.anonymize.text import text_of, within_years
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Strict

SUBJECTS: frozenset[ColumnType] = frozenset({"string", "int64", "decimal", "date", "timestamp", "json"})
DAY = 86_400_000_000  # microseconds


class Shift:
    """`columns` are moved by up to `days` days, all of one `subject` alike: `{columns: [born], subject: patient}`."""

    class Config(Strict):
        columns: list[str] = Field(min_length=1, description="The columns whose dates are moved.")
        subject: str = Field(description="The column that says whose dates they are; compared by its text.")
        days: int = Field(default=182, ge=2, le=36_500, description="By how many days dates are moved at most.")
        domain: str = Field(default="", description="A subject has one offset within one domain.")

    name: ClassVar[str] = "shift"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"date", "timestamp"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "a patient's stay is as long as before",
            {"patient": {"type": "int64"}, "admitted": {"type": "date"}, "left": {"type": "date"}},
            {"columns": ["admitted", "left"], "subject": "patient", "days": 30},
            {
                "patient": (1, 1, None),
                "admitted": (dt.date(2024, 5, 17), dt.date(2024, 6, 3), dt.date(2024, 2, 29)),
                "left": (dt.date(2024, 5, 20), None, dt.date(2024, 3, 1)),
            },
        ),
    )

    def plan(self, config: Shift.Config, columns: Columns) -> Treatment:
        outputs = {
            name: column_of(columns, name, self.types, "columns", i).type for i, name in enumerate(config.columns)
        }
        subject = column_of(columns, config.subject, SUBJECTS, "subject")
        if config.subject in outputs:
            right = "name the column of whom the dates tell"
            raise MisfitError(f"{config.subject} is moved by itself", right, ("subject",))

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            frame = batch.frame.select(text_of(pl.col(config.subject), subject.type).alias("subject"), *outputs)
            bits = pl.Series(macs(subkey(batch.draw.key, "shift", config.domain), frame["subject"])[:, 0])
            alone = batch.draw.bits("shift", config.subject)[0]
            drawn = frame.select("subject", own=bits, alone=alone)
            one = pl.when(pl.col("subject").is_null()).then("alone").otherwise("own")
            frame = frame.with_columns(offset=drawn.select(_offset(one, config.days)).to_series())
            return [*frame.select(_moved(pl.col(name), kind).alias(name) for name, kind in outputs.items())]

        return Treatment(outputs, treat, reads=(config.subject, *outputs))


def _offset(bits: pl.Expr, days: int) -> pl.Expr:
    """Uniform over -days to -1 and 1 to days."""
    drawn = (bits % (2 * days)).cast(pl.Int64) - days
    return pl.when(drawn < 0).then(drawn).otherwise(drawn + 1)


def _moved(value: pl.Expr, kind: ColumnType) -> pl.Expr:
    """The moment so many days later, or as many earlier where the calendar ends."""
    value = within_years(value, kind)
    step = pl.col("offset") * (DAY if kind == "timestamp" else 1)
    count = value.to_physical().cast(pl.Int64)

    def at(number: pl.Expr) -> pl.Expr:
        return number.cast(pl.Int64 if kind == "timestamp" else pl.Int32).cast(polars_type(kind))

    later = within_years(at(count + step), kind)
    return pl.when(later.is_null()).then(at(count - step)).otherwise(later)
