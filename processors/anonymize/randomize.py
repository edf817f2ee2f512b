"""`randomize`: replaces a category by another with a declared chance (PRAM, the post-randomization method; R-A5).

Who sees a category can't be sure that it is the record's own, while shares can still be computed, since the chances
are known. They are one of these: a share `retain` of the values stays and the others are drawn from `shares` (where
those are the shares of the column, they are kept in expectation), or a whole `matrix`. What becomes of a record is
drawn from the run's key and the record's identity, so it is the same however often the record is emitted. A value
that is none of the categories becomes null; a null stays null.
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Column, Strict

CLOSE: Final = 1e-6  # how far sums may be from what they should be
MOST: Final = 1_000  # categories

Matrix = npt.NDArray[np.float64]


class Chances(Strict):
    """Either `retain` with `categories` or `shares`, or a `matrix`; with `shares` a matrix has to keep them."""

    retain: float | None = Field(default=None, ge=0, lt=1, description="The chance that a value stays untouched.")
    categories: list[str] | None = Field(
        default=None, min_length=2, max_length=MOST, description="The values, drawn from with equal chances."
    )
    shares: dict[str, float] | None = Field(
        default=None, min_length=2, max_length=MOST, description="Value: its share. The shares are kept in expectation."
    )
    matrix: dict[str, dict[str, float]] | None = Field(
        default=None,
        min_length=2,
        max_length=MOST,
        description="Value: what becomes of it, with which chance; what is not named has none.",
    )

    @model_validator(mode="after")
    def _one_form(self) -> Chances:
        if (self.retain is None) == (self.matrix is None):
            raise MisfitError("says neither or both of retain and matrix", "give one of them")
        if self.matrix is None and (self.categories is None) == (self.shares is None):
            raise MisfitError("says neither or both of categories and shares", "give one of them")
        if self.matrix is not None and self.categories is not None:
            raise MisfitError("has categories beside a matrix", "leave them out", ("categories",))
        if self.categories and len(set(self.categories)) < len(self.categories):
            raise MisfitError("has a category twice", "name every category once", ("categories",))
        if self.shares is not None:
            _check_chances(self.shares, ("shares",))
        if self.matrix is not None:
            _check_matrix(self.matrix, self.shares)
        return self

    @property
    def names(self) -> list[str]:
        return list(self.matrix or self.shares or self.categories or [])

    @property
    def table(self) -> Matrix:
        """Row: the value; column: what becomes of it; a number: with which chance."""
        names = self.names
        if self.matrix is not None:
            return np.array([[self.matrix[one].get(other, 0.0) for other in names] for one in names])
        shares = self.shares or dict.fromkeys(names, 1 / len(names))
        drawn = np.array([shares[name] for name in names])
        retain = self.retain or 0.0
        return retain * np.eye(len(names)) + (1 - retain) * drawn[None, :]


def _check_chances(chances: dict[str, float], at: tuple[str, ...]) -> None:
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise MisfitError(f"{chance} is no chance", "give a number from 0 to 1", (*at, name))
    if abs(sum(chances.values()) - 1) > CLOSE:
        raise MisfitError(f"has chances that add up to {sum(chances.values()):.6g}", "let them add up to 1", at)


def _check_matrix(matrix: dict[str, dict[str, float]], shares: dict[str, float] | None) -> None:
    names = list(matrix)
    for name, row in matrix.items():
        _check_chances(row, ("matrix", name))
        strange = next((other for other in row if other not in matrix), None)
        if strange is not None:
            raise MisfitError(f"{strange} has no row of its own", f"rows are {', '.join(names)}", ("matrix", name))
        if row.get(name) == 1:
            raise MisfitError(f"{name} never changes", "give it a chance below 1 to stay", ("matrix", name))
    if shares is None:
        return
    if set(shares) != set(names):
        raise MisfitError("has other categories than the matrix", f"give those of {', '.join(names)}", ("shares",))
    before = np.array([shares[name] for name in names])
    after = before @ np.array([[matrix[one].get(other, 0.0) for other in names] for one in names])
    worst = int(np.abs(after - before).argmax())
    if abs(after[worst] - before[worst]) > CLOSE:
        wrong = f"does not keep the shares: {names[worst]} would go from {before[worst]:.6g} to {after[worst]:.6g}"
        raise MisfitError(wrong, "correct the matrix, or leave shares out", ("matrix",))


class Randomize:
    """`columns` says how a category becomes another: `{status: {retain: 0.8, shares: {active: 0.9, gone: 0.1}}}`."""

    class Config(Strict):
        columns: dict[str, Chances] = Field(min_length=1, description="Column: the chances of its categories.")

    name: ClassVar[str] = "randomize"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string", "int64", "bool"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "one answer in five is drawn at random",
            {"answer": {"type": "string"}},
            {"columns": {"answer": {"retain": 0.8, "categories": ["yes", "no", "unsure"]}}},
            {"answer": ("yes", "no", "unsure", None)},
        ),
        Example(
            "what is no category becomes null",
            {"grade": {"type": "int64"}},
            {"columns": {"grade": {"matrix": {"1": {"1": 0.9, "2": 0.1}, "2": {"1": 0.1, "2": 0.9}}}}},
            {"grade": (7, None)},
            {"grade": (None, None)},
        ),
    )

    def plan(self, config: Randomize.Config, columns: Columns) -> Treatment:
        found = {name: column_of(columns, name, self.types, "columns", name) for name in config.columns}
        drawn = {
            name: (_values(name, chances.names, found[name]), _steps(chances.table))
            for name, chances in config.columns.items()
        }

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            return [_drawn(batch, name, found[name], *drawn[name]) for name in found]

        return Treatment({name: column.type for name, column in found.items()}, treat, reads=tuple(found))


def _values(name: str, names: list[str], column: Column) -> pl.Series:
    """The categories as values of the column."""
    texts = pl.Series(names, dtype=pl.String)
    if column.type == "string":
        return texts
    if column.type == "bool":
        values = texts.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    else:
        values = texts.cast(pl.Int64, strict=False)
    if values.null_count() or values.n_unique() < len(values):
        wrong = f"{names[values.is_null().arg_max() or 0]} is no value of type {column.type}, or is there twice"
        raise MisfitError(wrong, "name every category as a value of the column is written", ("columns", name))
    return values


def _steps(table: Matrix) -> Matrix:
    """For each value the chances added up; the whole of all rows one after the other is in ascending order."""
    steps = np.cumsum(table, axis=1)
    steps[:, -1] = 1.0
    whole: Matrix = np.minimum(steps, 1.0) + np.arange(len(table))[:, None]
    return whole.reshape(-1)


def _drawn(batch: Batch, name: str, column: Column, values: pl.Series, steps: Matrix) -> pl.Series:
    own = batch.frame[name]
    codes = own.replace_strict(
        values, pl.Series(range(len(values)), dtype=pl.Float64), default=None, return_dtype=pl.Float64
    )
    known = codes.is_not_null()
    points = (codes.fill_null(0.0) + batch.draw.uniform("randomize", name)[0]).to_numpy()
    # the fraction tells what is drawn; a sum that rounds up to the next whole number would fall into the next row
    rows = codes.fill_null(0.0).to_numpy()
    points = np.minimum(points, np.nextafter(rows + 1.0, 0.0))
    picked = np.searchsorted(steps, points, side="right") % len(values)
    new = values.gather(pl.Series(picked.astype(np.uint32)))
    frame = pl.DataFrame({"new": new, "known": known})
    written = frame.select(pl.when("known").then("new")).to_series()
    return written.cast(polars_type(column.type)).alias(name)
