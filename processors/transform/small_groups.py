"""The `small_groups` of an aggregate, read: how many subjects a group needs, whose records are, and levels of groups.

Always holds: a level's groups lie within those of the next one, for the forms say so before any value is seen. Computes
nothing itself; which groups are small is known elsewhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, get_args

import polars as pl
from pydantic import ValidationError
from sqlglot import exp

from processors.anonymize.grid import Grid, Unit
from processors.anonymize.hierarchy import check_tree
from processors.transform.expression import ExpressionError, column_kind, parse
from processors.wrong_config import ConfigError, MisfitError, Path, Read, Wrong, embedded, explain
from schemas.task.form import meant
from schemas.task.model import Aggregate, Column, Kind, SmallGroups, Step

_UNITS: Final = get_args(Unit)
_NAMES: Final = {
    "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m",
    "year": "%Y", "decade": "%Ys",
}  # fmt: skip
_FALLING: Final = ("keep_first", "prefix", "geohash")  # the fewer, the coarser

Forms = dict[str, Grid]  # group: how it becomes coarser


@dataclass(frozen=True)
class SmallGroupsPlan:
    """`subject` is a column of the frame; `declared`: the task says it, so it counts where the default would not."""

    k: int
    subject: str | None = None
    levels: tuple[Forms, ...] = ()
    kinds: Mapping[str, Kind] | None = None
    declared: bool = False

    @property
    def merged(self) -> tuple[str, ...]:
        """The groups that may be merged, which makes them text."""
        return tuple(self.levels[-1]) if self.levels else ()

    def expressions(self) -> list[dict[str, pl.Expr]]:
        """For each level what the groups are called, in terms of the groups as they come."""
        kinds = self.kinds or {}
        ups = [self.levels[:n] for n in range(1, len(self.levels) + 1)]
        return [{name: _named(name, up, kinds) for name in up[-1]} for up in ups]


def read_small_groups(
    aggregate: Aggregate, groups: Mapping[str, Kind], kinds: Mapping[str, Kind]
) -> tuple[SmallGroupsPlan | None, list[Wrong]]:
    """None where small groups are published. `groups`: what is grouped by; `kinds`: of all columns of the frame."""
    given = aggregate.small_groups
    if aggregate.noise is not None and given is not None:
        right = "leave small_groups out, or noise"
        return None, [Wrong(("small_groups",), "handles groups of a table that tells all of them with noise", right)]
    if given == "publish" or aggregate.noise is not None:
        return None, []
    if given is None:
        return SmallGroupsPlan(SmallGroups().k), []
    mistakes: list[Wrong] = []
    subject = _subject(given.subject, kinds, mistakes)
    levels = _levels(given, groups, mistakes)
    return SmallGroupsPlan(given.k, subject, levels, dict(groups), declared=True), mistakes


def _subject(text: str | None, kinds: Mapping[str, Kind], mistakes: list[Wrong]) -> str | None:
    if text is None:
        return None
    try:
        node = parse(text)
        if not isinstance(node, exp.Column):
            raise ExpressionError(text, 1, f"{text} is no column", "derive a column first, then name it")
        return column_kind(text, node, kinds)[0]
    except ExpressionError as error:
        mistakes.append(Wrong(("small_groups", "subject"), error.wrong, error.right))
        return None


def _levels(given: SmallGroups, groups: Mapping[str, Kind], mistakes: list[Wrong]) -> tuple[Forms, ...]:
    at: Path = ("small_groups", "levels")
    if given.then == "suppress":
        if given.levels:
            mistakes.append(Wrong(at, "has levels, but merges nothing", "write then: merge, or leave levels out"))
        return ()
    if not groups:
        mistakes.append(
            Wrong(("small_groups", "then"), "merges the one group that there is", "name columns in by, or suppress it")
        )
    elif not given.levels:
        right = f"say what groups become: levels: [{{{next(iter(groups))}: {{unit: month}}}}]"
        mistakes.append(Wrong(("small_groups",), "merges along no levels", right))
    found: list[Forms] = []
    for n, level in enumerate(given.levels):
        forms = {**(found[-1] if found else {})}
        for name, raw in level.items():
            form = _form(name, raw, groups, (*at, n, name), mistakes)
            if form is not None:
                _check_coarser(forms.get(name), form, (*at, n, name), mistakes)
                forms[name] = form
        found.append(forms)
    return tuple(found)


def _form(name: str, raw: Any, groups: Mapping[str, Kind], at: Path, mistakes: list[Wrong]) -> Grid | None:
    if name not in groups:
        mistakes.append(Wrong(at, f"{name} is not grouped by", meant(name, groups)))
        return None
    try:
        form = Grid.model_validate(raw)
    except ValidationError as error:
        mistakes += explain(error, Grid, raw, at)
        return None
    kind = groups[name]
    if kind.type not in form.types:
        right = f"{form.form} fits {', '.join(sorted(form.types))}"
        mistakes.append(Wrong((*at, form.form), f"{name} is of type {kind.type}", right))
        return None
    if form.hierarchy is None:
        try:
            form.group(pl.col(name), Column(type=kind.type, scale=kind.scale))
        except MisfitError as misfit:
            mistakes.append(Wrong((*at, *misfit.at), misfit.wrong, misfit.right))
            return None
    return form


def _check_coarser(fine: Grid | None, coarse: Grid, at: Path, mistakes: list[Wrong]) -> None:
    """Refuses a level whose groups would cut through those of the level before."""
    if fine is None:
        return
    one, other = getattr(fine, fine.form), getattr(coarse, coarse.form)
    here: Path = (*at, coarse.form)
    if {fine.form, coarse.form} - {"rows"} != {coarse.form} - {"rows"}:
        mistakes.append(Wrong(here, f"comes after {fine.form}", f"give {fine.form}, coarser than before"))
    elif coarse.form in ("hierarchy", "rows"):
        if one != other:
            mistakes.append(Wrong(here, "is another hierarchy than before", "give a higher level of the same one"))
        elif (coarse.level or 0) < (fine.level or 0):
            mistakes.append(Wrong((*at, "level"), "is lower than before", f"give {fine.level} or more"))
    elif coarse.form == "unit":
        if _UNITS.index(other) < _UNITS.index(one):
            mistakes.append(Wrong(here, f"{other} is finer than {one}", f"give {one} or what is longer"))
        elif one == "week" != other:
            mistakes.append(Wrong(here, f"weeks do not nest in a {other}", "leave one of them out"))
    elif coarse.form in _FALLING:
        if other > one or (coarse.form == "prefix" and coarse.prefix6 > fine.prefix6):
            mistakes.append(Wrong(here, f"{other} is finer than {one}", f"give {one} or fewer"))
    elif not _multiple(str(one), str(other)):
        mistakes.append(Wrong(here, f"{other} is no multiple of {one}", "give a multiple of the step before"))


def _multiple(fine: str, coarse: str) -> bool:
    return Decimal(coarse) % Decimal(fine) == 0


def _named(name: str, levels: Sequence[Forms], kinds: Mapping[str, Kind]) -> pl.Expr:
    """The group's name on the last of these levels. Steps and units begin from the level below, so that they nest."""
    kind = kinds[name]
    column = Column(type=kind.type, scale=kind.scale)
    form = levels[-1][name]
    if form.form not in ("step", "unit"):
        return form.group(pl.col(name), column)
    value = pl.col(name)
    for level in levels:
        if name in level:
            value = level[name].group(value, column)
    return _dated(value, form.unit) if form.unit else _interval(value, form.step, kind)


def _dated(start: pl.Expr, unit: str) -> pl.Expr:
    if unit == "quarter":
        return pl.concat_str(start.dt.strftime("%Y-Q"), start.dt.quarter().cast(pl.String))
    return start.dt.strftime(_NAMES[unit])


def _interval(low: pl.Expr, step: int | float | str | None, kind: Kind) -> pl.Expr:
    size = pl.lit(str(step)).cast(pl.Decimal(38, kind.scale if kind.type == "decimal" else 0))
    high = low + (pl.lit(float(str(step))) if kind.type == "float64" else size)
    bounds = [low.cast(pl.String), (high.round(9) if kind.type == "float64" else high).cast(pl.String)]
    if kind.type == "decimal" and kind.scale:
        bounds = [bound.str.strip_chars_end("0").str.strip_chars_end(".") for bound in bounds]
    return pl.concat_str(pl.lit("["), bounds[0], pl.lit(", "), bounds[1], pl.lit(")"))


def embed_levels(steps: Sequence[Step], read: Read) -> list[Step]:
    """The steps with the hierarchies that they name read into `rows`: what a released task keeps.

    Raises `ConfigError` with every mistake, paths beginning with the step's index.
    """
    mistakes: list[Wrong] = []
    found = [_embedded(n, step, read, mistakes) for n, step in enumerate(steps)]
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _embedded(n: int, step: Step, read: Read, mistakes: list[Wrong]) -> Step:
    given = None if step.aggregate is None else step.aggregate.small_groups
    if step.aggregate is None or not isinstance(given, SmallGroups) or not given.levels:
        return step
    at: Path = (n, "aggregate", "small_groups", "levels")
    levels = [
        {name: embedded(_rows, raw, read, (*at, i, name), mistakes) for name, raw in level.items()}
        for i, level in enumerate(given.levels)
    ]
    whole = given.model_copy(update={"levels": levels})
    return step.model_copy(update={"aggregate": step.aggregate.model_copy(update={"small_groups": whole})})


def _rows(raw: Any, read: Read) -> Any:
    if not isinstance(raw.get("hierarchy"), str):
        return raw
    rows = [row for row in csv.reader(io.StringIO(read(raw["hierarchy"])), delimiter=";") if row]
    check_tree(rows)
    return {**{key: value for key, value in raw.items() if key != "hierarchy"}, "rows": rows}
