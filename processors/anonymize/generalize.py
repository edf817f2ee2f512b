"""`generalize`: replaces a value by a group it belongs to (R-A1).

Groups lie on grids and hierarchies, never on the values found in the data, so a bound tells nothing. With `columns` a
number or a date becomes the lower bound of its group and keeps the column's type; text, an address or a value of a
hierarchy becomes the group's name; what belongs to no group becomes null. With `quasi_identifiers` the table is looked
at as a whole, and every value becomes the text of its group's range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, get_args

import polars as pl
from pydantic import Field, model_validator

from processors.anonymize.grid import Grid
from processors.anonymize.grouping import (
    COUNTED,
    Closeness,
    Diversity,
    Measure,
    Presence,
    Search,
    Wanted,
    asked,
    grouping,
)
from processors.anonymize.hierarchy import embed_hierarchies
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, Windows, column_of
from processors.anonymize.windowed import Window
from processors.privacy.domains.dimension import Grain
from processors.privacy.groups.beforehand import Leaves, Needs
from processors.privacy.guarantees import requested
from processors.wrong_config import MisfitError, Read
from schemas.columns import ColumnType
from schemas.task.model import Strict

GROUPS = {"k", "subject", "l", "t", "grain", "suppression_limit", "search", "loss", "presence", "window"}


class Generalize:
    """`columns` says how each column becomes coarser, record by record.

    `quasi_identifiers` and `k` ask for groups of at least k records that can't be told apart by these columns together,
    with `l` and `t` besides: each group becomes as narrow as they allow (Mondrian), or with `search: full_domain` each
    column goes to the level that loses least. The columns become the texts of ranges.
    """

    class Config(Strict):
        columns: dict[str, Grid] | None = Field(
            default=None, min_length=1, description="Column: how it becomes coarser."
        )
        quasi_identifiers: list[str] | None = Field(
            default=None, min_length=1, description="Columns that identify together: groups of records share them."
        )
        k: int | None = Field(default=None, ge=2, description="How many records a group has at least.")
        subject: str | None = Field(
            default=None, description="The column that tells whose record it is: k counts its distinct values."
        )
        l: list[Diversity] = Field(  # noqa: E741
            default_factory=list, description="How diverse sensitive columns are within a group."
        )
        t: list[Closeness] = Field(
            default_factory=list, description="How close sensitive columns are within a group to all records."
        )
        grain: dict[str, Grain] = Field(
            default_factory=dict, description="Quasi-identifier: the grid or hierarchy that bounds of groups lie on."
        )
        suppression_limit: float = Field(
            default=0.0,
            ge=0,
            le=1,
            description="The share of records that may be suppressed to form groups: "
            "such as are in the way of k, l or t, and outliers where the others then lose clearly less.",
        )
        search: Search = Field(
            default="mondrian",
            description="How groups are found. mondrian: each as narrow as its records allow. full_domain: every value "
            "of a column becomes coarser by the same level, and of all levels the best are taken.",
        )
        loss: Measure = Field(
            default="ncp",
            description="full_domain: which levels are the best. ncp: the least extent of groups, leaves: the fewest "
            "values of a hierarchy below them, discernibility: the smallest groups, class_size: the most groups.",
        )
        window: Window | None = Field(
            default=None,
            description="Continuous runs: groups are formed of each window of records, and never change again. Else "
            "all records are grouped anew at each epoch.",
        )

        presence: Presence | None = Field(
            default=None,
            description="How sure anyone may be that somebody of a population is in the table.",
        )

        @model_validator(mode="after")
        def _one_form(self) -> Generalize.Config:
            if (self.columns is None) == (self.quasi_identifiers is None):
                raise MisfitError("says neither or both of columns and quasi_identifiers", "give one of them")
            if self.quasi_identifiers is not None and self.k is None:
                raise MisfitError("has no k", "say how many records a group has at least")
            if self.columns is not None and self.model_fields_set & GROUPS:
                raise MisfitError("asks for groups of single columns", "give quasi_identifiers instead of columns")
            if "loss" in self.model_fields_set and self.search != "full_domain":
                raise MisfitError("is for nothing", "give search: full_domain, or leave it out", ("loss",))
            if self.presence is not None and self.presence.delta[0] > 0 and self.suppression_limit > 0:
                wrong = "asks for somebody of every group to be there, and lets groups be suppressed"
                raise MisfitError(wrong, "leave suppression_limit out, or begin delta at 0", ("presence", "delta"))
            if self.window is not None:
                self._check_window()
            return self

        def _check_window(self) -> None:
            for name in ("t", "presence"):
                if getattr(self, name):
                    right = f"leave {name} or window out: it is measured against all records, which no window sees"
                    raise MisfitError(f"asks for {name} in windows", right, (name,))
            if "suppression_limit" not in self.model_fields_set:
                right = "say which share of the records may be left out: those that change once published are"
                raise MisfitError("has windows and no suppression_limit", right, ("suppression_limit",))

    name: ClassVar[str] = "generalize"
    types: ClassVar[frozenset[ColumnType]] = frozenset(get_args(ColumnType))
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "ages become decades",
            {"age": {"type": "int64"}},
            {"columns": {"age": {"step": 10}}},
            {"age": (36, 40, -1, None)},
            {"age": (30, 40, -10, None)},
        ),
        Example(
            "postal codes by region, addresses by network",
            {"zip": {"type": "string"}, "ip": {"type": "string"}},
            {"columns": {"zip": {"keep_first": 2}, "ip": {"prefix": 24}}},
            {"zip": ("10115", "9", None), "ip": ("192.0.2.77", "none", None)},
            {"zip": ("10*", "*", None), "ip": ("192.0.2.0/24", None, None)},
        ),
        Example(
            "cities by a hierarchy",
            {"city": {"type": "string"}},
            {"columns": {"city": {"rows": [["Oslo", "Norway", "Europe"], ["Rome", "Italy", "Europe"]], "level": 1}}},
            {"city": ("Rome", "Atlantis", None)},
            {"city": ("Italy", None, None)},
        ),
    )

    @staticmethod
    def embed(raw: Any, read: Read) -> Any:
        """The config with the files of its hierarchies read into `rows`."""
        return embed_hierarchies(embed_hierarchies(raw, read, "columns"), read, "grain")

    def plan(self, config: Generalize.Config, columns: Columns) -> Treatment:
        if config.columns is None:
            _check_sensitive(config, columns)
            return self._grouped(config, columns)
        outputs: dict[str, ColumnType] = {}
        groups: list[pl.Expr] = []
        for name, grid in config.columns.items():
            column = column_of(columns, name, grid.types, "columns", name)
            outputs[name] = grid.output(column.type)
            try:
                groups.append(grid.group(pl.col(name), column).alias(name))
            except MisfitError as misfit:
                raise MisfitError(misfit.wrong, misfit.right, ("columns", name, *misfit.at)) from None

        def treat(_: Batch) -> list[pl.Expr | pl.Series]:
            return [*groups]

        return Treatment(outputs, treat, reads=tuple(outputs))

    def _grouped(self, config: Generalize.Config, columns: Columns) -> Treatment:
        window, limit = config.window, config.suppression_limit
        wanted = Wanted(
            config.quasi_identifiers or [],
            config.k or 0,
            # what is left out of a window waits for the next one, and boxes leave out as few as they can
            1.0 if window is not None and config.search == "mondrian" else limit,
            config.grain,
            asked(config.l, config.t),
            config.subject,
            config.search,
            config.loss,
            config.presence,
            limit if window is None else 0.0,
        )
        found = replace(grouping(wanted, columns), needs=_needs(config, columns))
        if window is None:
            return found
        k, diverse = config.k or 0, bool(config.l)
        return replace(found, windows=Windows(k, window.records, window.delay, limit, config.subject, diverse))


def _check_sensitive(config: Generalize.Config, columns: Columns) -> None:
    """Raises `MisfitError` where a column that l or t counts is none, or has no order as it is asked for."""
    for i, diverse in enumerate(config.l):
        column_of(columns, diverse.column, COUNTED, "l", i, "column")
    for i, close in enumerate(config.t):
        kind = column_of(columns, close.column, COUNTED, "t", i, "column").kind
        order, at = close.order, ("t", i, "order")
        if order is None:
            told = any(one.order for one in config.t if one.column == close.column)
            if close.distance == "ordered" and kind.type in ("string", "json") and not told:
                right = "list its values under order, from the least on, or ask for equal distance"
                raise MisfitError(f"asks for an order, and {close.column} is text", right, ("t", i, "distance"))
        elif kind.type not in ("string", "json", "int64", "float64", "decimal"):
            raise MisfitError(f"orders values of type {kind.type}", "leave it out: they have an order of their own", at)
        elif len(set(order)) != len(order):
            raise MisfitError("names a value twice", "name each value once", at)
        elif pl.Series(order, dtype=pl.String).cast(kind.polars, strict=False).null_count():
            raise MisfitError(f"has a value that is no {kind.type}", f"list values of {close.column}", at)


def _needs(config: Generalize.Config, columns: Columns) -> Needs:
    trees = {name: grain.rows for name, grain in config.grain.items() if grain.rows is not None}
    return Needs(
        k=config.k or 1,
        subject=config.subject,
        diversity=tuple(requested.Diversity(one.column, one.l, one.kind, one.c) for one in config.l),
        leaves={
            name: Leaves(columns[name].type, pl.Series([row[0] for row in rows], dtype=pl.String))
            for name, rows in trees.items()
        },
        limit=config.suppression_limit,
        complete=config.search == "mondrian" and not config.suppression_limit and config.presence is None,
    )
