"""The anonymization methods of a table, compiled into one function from a frame to a frame.

Always holds: the rows and their order stay; a column is written by one method at most; what comes out depends on the
frame, the run's key and the records' identities alone. Methods that look at a whole table, one that forms groups and
those that leave records out before it, do so before the others see its rows, one batch at a time. Methods are applied
in the order of ORDER, then others by name, whatever order they are written in; since no column has two methods, that
shows in the certificate alone. Knows methods only by what was found; knows no topic or release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from pydantic import ValidationError

from processors.anonymize.protocol import Anonymization, Batch, Beside, Formed, Leaving, Treatment
from processors.anonymize.randomness import Draw
from processors.wrong_config import ConfigError, MisfitError, Read, Wrong, embedded, explain
from schemas.columns import IDENTITY, ColumnType
from schemas.task.model import Column, Kind, Method

ORDER = (
    "suppress",
    "permute",
    "swap",
    "shift",
    "perturb",
    "randomize",
    "generalize",
    "anatomize",
    "redact",
    "replace_realistic",
    "mask",
    "tokenize",
)


@dataclass(frozen=True)
class CompiledMethods:
    """`group` is the last method that looks at the whole table, `cleared` are those that do so before it.

    `looks` are the columns that they have to see; none where no method looks at the whole table.
    """

    table: str
    output_columns: dict[str, ColumnType]
    treatments: tuple[Treatment, ...]
    group: Treatment | None = None
    group_method: str = ""
    cleared: tuple[tuple[str, Treatment], ...] = ()
    group_at: int = 0  # in the table's list of methods

    @property
    def wholes(self) -> tuple[tuple[str, Treatment], ...]:
        """The methods that look at the whole table, by name, as they follow each other."""
        return (*self.cleared, *([] if self.group is None else [(self.group_method, self.group)]))

    @property
    def looks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, one in self.wholes for name in one.looks))

    @property
    def unread(self) -> frozenset[str]:
        """The columns of whose values nothing leaves, and nothing depends on them either."""
        if any(one.reads is None for one in self.treatments):
            return frozenset()
        read = {*self.looks, *(name for one in self.treatments for name in one.reads or ())}
        return frozenset(name for one in self.treatments for name in one.outputs) - read

    @property
    def written(self) -> dict[str, ColumnType]:
        """The columns that they leave in the table as they may be published."""
        found: dict[str, ColumnType] = {}
        for _, one in self.wholes:
            found |= one.outputs
            found = {name: kind for name, kind in found.items() if name not in one.removes}
        return found

    @property
    def beside(self) -> tuple[Beside, ...]:
        """What they look at of other tables."""
        return tuple(other for _, one in self.wholes for other in one.beside)

    @property
    def linked(self) -> str | None:
        """The name of the table that the group's method makes beside."""
        return f"{self.table}_{self.group.suffix}" if self.group and self.group.linked else None

    def form(
        self,
        table: pl.DataFrame,
        identities: pl.Series,
        key: bytes,
        window: bool,
        others: Mapping[str, pl.DataFrame] | None = None,
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """(the table's rows that stay, with the columns that these methods write as they may be published,
        the rows of the table beside it)."""
        leaving = self.leaving(table, identities, key, window, others)
        return leaving.rows, leaving.linked

    def leaving(
        self,
        table: pl.DataFrame,
        identities: pl.Series,
        key: bytes,
        window: bool,
        others: Mapping[str, pl.DataFrame] | None = None,
    ) -> Leaving:
        """The same, and what each method left out; each sees what those before it let through."""
        linked, presence, left_out = None, None, dict[str, int]()
        for method, one in self.wholes:
            if one.form is None:
                continue
            draw = Draw(key, self.table, identities.cast(pl.Int64, wrap_numerical=True))
            formed: Formed = one.form(Batch(table.select(one.looks), draw, window, others or {}))
            rest = table.drop(*one.removes, *(name for name in one.outputs if name in table.columns))
            left_out[method] = left_out.get(method, 0) + table.height - int(formed.kept.sum() or 0)
            table = pl.concat([rest, formed.columns], how="horizontal").filter(formed.kept)
            identities = identities.filter(formed.kept)
            linked = formed.linked if linked is None else linked
            presence = formed.presence if presence is None else presence
        return Leaving(table, linked, {method: count for method, count in left_out.items() if count}, presence)

    def apply(self, frame: pl.DataFrame, key: bytes, window: bool, on_its_way: bool = False) -> pl.DataFrame:
        """The anonymized frame; `key` is the run's, and `frame` has the records' identities as `_id`.

        What a group's method writes stands in the frame already.
        """
        if not self.treatments:
            return frame
        batch = Batch(frame, Draw(key, self.table, frame[IDENTITY]), window, on_its_way=on_its_way)
        return frame.with_columns(written for one in self.treatments for written in one.treat(batch))


def compile_methods(
    table: str,
    columns: Mapping[str, Column],
    methods: Sequence[Method],
    found: Mapping[str, type[Anonymization]],
    others: Mapping[str, Mapping[str, Kind]] | None = None,
) -> CompiledMethods:
    """The methods of a table; raises `ConfigError` with every mistake, paths from the list of methods on.

    `others`: the columns of all tables of the task, to look whether those are there that methods look at besides.
    """
    planned: list[tuple[int, str, Treatment]] = []
    mistakes: list[Wrong] = []
    for i, method in enumerate(methods):
        treatment = _plan(i, method, columns, found, mistakes)
        if treatment is not None:
            planned.append((i, method.method, treatment))
    mistakes += _written_twice(planned)
    mistakes += _grouped_twice(planned)
    mistakes += _undone(planned)
    mistakes += [] if others is None else _not_beside(table, planned, others)
    if mistakes:
        raise ConfigError(mistakes)
    planned.sort(key=lambda one: ORDER.index(one[1]) if one[1] in ORDER else len(ORDER))
    treatments = tuple(treatment for _, _, treatment in planned)
    outputs: dict[str, ColumnType] = {name: column.type for name, column in columns.items()}
    for treatment in treatments:
        outputs.update(treatment.outputs)
        for name in treatment.removes:
            del outputs[name]
    wholes = [(method, treatment, i) for i, method, treatment in planned if treatment.form is not None]
    wholes.sort(key=lambda one: not one[1].clears)
    single = tuple(treatment for treatment in treatments if treatment.form is None)
    if not wholes:
        return CompiledMethods(table, outputs, single)
    name, group, at = wholes[-1]
    cleared = tuple((method, one) for method, one, _ in wholes[:-1])
    return CompiledMethods(table, outputs, single, group, name, cleared, at)


def embed_files(methods: Sequence[Method], found: Mapping[str, type[Anonymization]], read: Read) -> list[Method]:
    """The methods with the files they name read into their options: what a released task keeps.

    `read` gives a file's text, or raises OSError; raises `ConfigError` with every mistake.
    """
    ready: list[Method] = []
    mistakes: list[Wrong] = []
    for i, method in enumerate(methods):
        embed = getattr(found.get(method.method), "embed", None)
        options = method.options
        if embed is not None:
            options = embedded(embed, options, read, (i,), mistakes)
        ready.append(Method(method=method.method, **options))
    if mistakes:
        raise ConfigError(mistakes)
    return ready


def _plan(
    i: int,
    method: Method,
    columns: Mapping[str, Column],
    found: Mapping[str, type[Anonymization]],
    mistakes: list[Wrong],
) -> Treatment | None:
    kind = found.get(method.method)
    if kind is None:
        right = f"methods are {', '.join(sorted(found))}"
        mistakes.append(Wrong((i, "method"), f"{method.method} is no method", right))
        return None
    try:
        return kind().plan(kind.Config.model_validate(method.options), columns)
    except ValidationError as error:
        mistakes += explain(error, kind.Config, method.options, (i,))
    except MisfitError as misfit:
        mistakes.append(Wrong((i, *misfit.at), misfit.wrong, misfit.right))
    return None


def _written_twice(planned: list[tuple[int, str, Treatment]]) -> list[Wrong]:
    first: dict[str, str] = {}
    mistakes = []
    for i, name, treatment in planned:
        for column in treatment.outputs:
            if column in first:
                wrong = f"{column} already has the method {first[column]}"
                mistakes.append(Wrong((i, "columns"), wrong, "give every column one method"))
            first.setdefault(column, name)
    return mistakes


def _grouped_twice(planned: list[tuple[int, str, Treatment]]) -> list[Wrong]:
    """Two groupings of one table would each be undone by what the other tells."""
    groups = [i for i, _, treatment in planned if treatment.form is not None and not treatment.clears]
    return [
        Wrong((i, "method"), "the table's records are grouped already", "name all quasi-identifiers in one method")
        for i in groups[1:]
    ]


def _undone(planned: list[tuple[int, str, Treatment]]) -> list[Wrong]:
    """What groups keep of a column's values would be gone if a method changed them afterwards.

    Tokens are as different as the values are, so what l promises holds for them; t may speak of an order, which they
    have not.
    """
    kept = {name: option for _, _, treatment in planned for name, option in treatment.keeps.items()}
    right = {"l": "leave the column to l, give it tokens, or take it out of l", "t": "leave the column to t alone"}
    return [
        Wrong((i, "columns"), f"{name} would change after groups were formed by {kept[name]}", right[kept[name]])
        for i, method, treatment in planned
        if treatment.form is None
        for name in treatment.outputs
        if name in kept and not (method == "tokenize" and kept[name] == "l")
    ]


def _not_beside(
    table: str, planned: list[tuple[int, str, Treatment]], others: Mapping[str, Mapping[str, Kind]]
) -> Iterator[Wrong]:
    """Tables and columns that methods look at besides, and that are not there."""
    for i, beside in ((i, beside) for i, _, treatment in planned for beside in treatment.beside):
        at = (i, *beside.at)
        if beside.table not in others or beside.table == table:
            told = "is the table itself" if beside.table == table else f"{beside.table} is no table of the task"
            yield Wrong(at, told, f"name one of {', '.join(name for name in others if name != table) or 'the others'}")
            continue
        kinds = others[beside.table]
        for name, column in beside.columns.items():
            if name not in kinds:
                right = f"give it the column, of type {column.type}"
                yield Wrong(at, f"{beside.table} has no column {name}", right)
            elif kinds[name] != column.kind:
                wrong = f"{name} of {beside.table} is of type {kinds[name].type}"
                yield Wrong(at, wrong, f"give it the type that it has in {table}, {column.type}")
