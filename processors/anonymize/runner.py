"""The anonymization methods of a table, compiled into one function from a frame to a frame.

Always holds: the rows and their order stay; a column is written by one method at most; what comes out depends on the
frame, the run's key and the records' identities alone. A method that forms groups sees a whole table before the others
see its rows, one batch at a time; it alone may leave rows out. Methods are applied in the order of ORDER, then others
by name, whatever order they are written in; since no column has two methods, that shows in the certificate alone. Knows
methods only by what was found; knows no topic or release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from pydantic import ValidationError

from processors.anonymize.protocol import Anonymization, Batch, Formed, Treatment
from processors.anonymize.randomness import Draw
from processors.wrong_config import ConfigError, MisfitError, Read, Wrong, embedded, explain
from schemas.columns import IDENTITY, ColumnType
from schemas.task.model import Column, Method

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
    """`looks` are the columns that `form` has to see of the whole table; none where no method forms groups."""

    table: str
    output_columns: dict[str, ColumnType]
    treatments: tuple[Treatment, ...]
    group: Treatment | None = None
    group_method: str = ""

    @property
    def looks(self) -> tuple[str, ...]:
        return self.group.looks if self.group else ()

    @property
    def linked(self) -> str | None:
        """The name of the table that the group's method makes beside."""
        return f"{self.table}_{self.group.suffix}" if self.group and self.group.linked else None

    def form(
        self, table: pl.DataFrame, identities: pl.Series, key: bytes, window: bool
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """(the table's rows that stay, with the columns that the group's method writes as they may be published,
        the rows of the table beside it)."""
        if self.group is None or self.group.form is None:
            return table, None
        draw = Draw(key, self.table, identities.cast(pl.Int64, wrap_numerical=True))
        formed: Formed = self.group.form(Batch(table.select(self.looks), draw, window))
        rest = table.drop(*self.group.removes, *(name for name in self.group.outputs if name in table.columns))
        return pl.concat([rest, formed.columns], how="horizontal").filter(formed.kept), formed.linked

    def apply(self, frame: pl.DataFrame, key: bytes, window: bool) -> pl.DataFrame:
        """The anonymized frame; `key` is the run's, and `frame` has the records' identities as `_id`.

        What a group's method writes stands in the frame already.
        """
        if not self.treatments:
            return frame
        batch = Batch(frame, Draw(key, self.table, frame[IDENTITY]), window)
        return frame.with_columns(written for one in self.treatments for written in one.treat(batch))


def compile_methods(
    table: str,
    columns: Mapping[str, Column],
    methods: Sequence[Method],
    found: Mapping[str, type[Anonymization]],
) -> CompiledMethods:
    """The methods of a table; raises `ConfigError` with every mistake, paths from the list of methods on."""
    planned: list[tuple[int, str, Treatment]] = []
    mistakes: list[Wrong] = []
    for i, method in enumerate(methods):
        treatment = _plan(i, method, columns, found, mistakes)
        if treatment is not None:
            planned.append((i, method.method, treatment))
    mistakes += _written_twice(planned)
    mistakes += _grouped_twice(planned)
    if mistakes:
        raise ConfigError(mistakes)
    planned.sort(key=lambda one: ORDER.index(one[1]) if one[1] in ORDER else len(ORDER))
    treatments = tuple(treatment for _, _, treatment in planned)
    outputs: dict[str, ColumnType] = {name: column.type for name, column in columns.items()}
    for treatment in treatments:
        outputs.update(treatment.outputs)
        for name in treatment.removes:
            del outputs[name]
    groups = [(treatment, method) for _, method, treatment in planned if treatment.form is not None]
    single = tuple(treatment for treatment in treatments if treatment.form is None)
    return CompiledMethods(table, outputs, single, *(groups[0] if groups else ()))


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
    groups = [(i, name) for i, name, treatment in planned if treatment.form is not None]
    return [
        Wrong((i, "method"), "the table's records are grouped already", "name all quasi-identifiers in one method")
        for i, _ in groups[1:]
    ]
