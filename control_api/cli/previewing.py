"""What groups of k records would cost a table, tried on a sample of it by the very code that a run forms them with.

A sample is drawn evenly: every record of the sources has the same chance. Rules and record-wise transforms of the task
are applied to it, its merge is not. Nothing is registered, sent or stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from connectors.sources.open_sources import open_source
from control_api.actions.embedding import embed
from control_api.actions.run_tables import compiled
from control_api.cli.published import OtherColumnsError, read
from control_api.composition import components
from processors.plan import TaskPlan
from processors.privacy.certificates.finding import breadths_of
from processors.privacy.guarantees.requested import Request, requests_of
from processors.privacy.measured.curve import draw as svg
from processors.privacy.measured.preview import Point, document, preview
from processors.transform.outputs import outputs
from processors.wrong_config import ConfigError
from schemas.columns import OP
from schemas.errors import InvalidInput, Mistake
from schemas.sealing import new_key
from schemas.task.load import LoadedTask, load
from schemas.task.model import Method, Task

KS: Final = (2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Sample:
    """Records drawn evenly from `population`."""

    frame: pl.DataFrame
    population: int


@dataclass(frozen=True)
class Previewed:
    table: str
    request: Request
    rows: int
    population: int
    points: list[Point]


def preview_table(
    file: Path, table: str, ks: Sequence[int], rows: int, by: Sequence[str] = (), data: Sequence[Path] = ()
) -> Previewed:
    """A point of risk and utility for each k; `by` are quasi-identifiers that the task does not name yet."""
    loaded = load(file, components())
    if table not in loaded.task.tables:
        raise _wrong(file, f"tables.{table}", "there is no such table", f"tables are {', '.join(loaded.task.tables)}")
    task = embed(loaded.task, loaded.base, components(), str(file))
    given, _ = outputs(task)
    request = _request(file, task, table, by)
    odd = [name for name in request.quasi_identifiers if name not in given[table]]
    if odd:
        raise _wrong(file, f"tables.{table}", f"{odd[0]} is no column of it", f"columns are {', '.join(given[table])}")
    kinds = {name: kind.type for name, kind in given[table].items()}
    looked_at = {name: kinds[name] for name in request.columns}
    pieces = read(data, looked_at, more=True) if data else _sources(file, loaded, table)
    try:
        sample = draw_sample(pieces, rows, request.columns)
    except OtherColumnsError as error:
        raise InvalidInput([Mistake(str(data[0]), 1, "(file)", str(error), "give records of the table")]) from error
    if not sample.frame.height:
        raise _wrong(file, f"tables.{table}", "there is not one record to look at", "give --data FILE with some")

    key = new_key()  # of nothing else

    def form(k: int) -> pl.DataFrame:
        methods = _plan(file, task, table, request, k).outputs()[table].methods
        published, _ = methods.form(sample.frame, pl.int_range(sample.frame.height, eager=True), key, False)
        return published

    points = preview(
        sample.frame.height,
        request.quasi_identifiers,
        ks,
        form,
        lambda frame: breadths_of(frame, request, kinds),
        request.subject,
        sample.population,
    )
    return Previewed(table, request, sample.frame.height, sample.population, points)


def about(found: Previewed) -> str:
    """What was looked at, in a line."""
    whose = "" if found.request.subject is None else f" by {found.request.subject}"
    sample = f"{found.rows:,} of {found.population:,} records"
    return f"{sample}{whose}, grouped by {', '.join(found.request.quasi_identifiers)}"


def told(found: Previewed) -> dict[str, Any]:
    """The curve as one JSON document."""
    return document(
        found.points,
        table=found.table,
        quasi_identifiers=list(found.request.quasi_identifiers),
        subject=found.request.subject,
        sample=found.rows,
        population=found.population,
    )


def save(output: Path, found: Previewed) -> None:
    """As a drawing or as data, by the file's ending."""
    if output.suffix == ".svg":
        text = svg(found.points, f"{found.table}: risk and utility over k", about(found)).encode()
    else:
        text = orjson.dumps(told(found), option=orjson.OPT_INDENT_2) + b"\n"
    try:
        output.write_bytes(text)
    except OSError as error:
        right = "name a file in a directory that can be written to"
        mistake = Mistake(str(output), 1, "(file)", f"can't be written: {error.strerror}", right)
        raise InvalidInput([mistake]) from error


def draw_sample(pieces: Iterator[pl.DataFrame], rows: int, columns: Sequence[str]) -> Sample:
    """An even sample: the records with the least of as many random numbers. Memory follows the sample."""
    chance, place = "_chance", np.random.default_rng()  # what is drawn here guards nothing
    kept: pl.DataFrame | None = None
    population = 0
    for piece in pieces:
        population += piece.height
        drawn = piece.select(columns).with_columns(pl.Series(chance, place.random(piece.height)))
        kept = drawn if kept is None else pl.concat([kept, drawn])
        if kept.height > rows:
            kept = kept.bottom_k(rows, by=chance)
    return Sample(pl.DataFrame() if kept is None else kept.drop(chance), population)


def _sources(file: Path, loaded: LoadedTask, table: str) -> Iterator[pl.DataFrame]:
    """What the table's sources have, cleaned and transformed as a run would."""
    task, place = loaded.task, f"tables.{table}"
    if task.tables[table].derived:
        raise _wrong(file, place, "is computed from other tables", "give --data FILE with an export of it")
    plan = compiled(embed(task, loaded.base, components(), str(file))).tables[table]
    for name, source in task.tables[table].sources.items():
        if source.connector == "kafka" and source.connection is None:
            raise _wrong(file, f"{place}.sources.{name}", "is a topic of the stack", "give --data FILE with records")
        with closing(open_source(task, table, name, loaded.base, {}, components().sources, {})) as opened:
            for split in opened.splits():
                for chunk in opened.read(split, None):
                    there = chunk.frame.filter(pl.col(OP) == 0) if OP in chunk.frame.columns else chunk.frame
                    clean = plan.rules.apply(there).kept
                    yield clean if plan.transform is None else plan.transform.apply(clean).kept


def _request(file: Path, task: Task, table: str, by: Sequence[str]) -> Request:
    found = requests_of(task.tables[table].anonymize)
    if by:
        return replace(found[0], quasi_identifiers=tuple(by)) if found else Request(tuple(by))
    if not found:
        right = "name them with --by, or add a method with quasi_identifiers"
        raise _wrong(file, f"tables.{table}.anonymize", "names no quasi-identifiers", right)
    return found[0]


def _plan(file: Path, task: Task, table: str, request: Request, k: int) -> TaskPlan:
    """The task with groups of k in the place of those that it asks for; its other methods change no group."""
    asked = next((one for one in task.tables[table].anonymize if one.options.get("quasi_identifiers")), None)
    options: dict[str, Any] = {} if asked is None else dict(asked.options)
    names = request.quasi_identifiers
    options |= {"quasi_identifiers": list(names), "k": k}
    options.pop("presence", None)  # a sample has no population
    if isinstance(options.get("grain"), dict):
        options["grain"] = {name: grain for name, grain in options["grain"].items() if name in names}
    method = Method(method="generalize" if asked is None else asked.method, **options)
    changed = task.tables[table].model_copy(update={"anonymize": [method]})
    try:
        return compiled(task.model_copy(update={"tables": {**task.tables, table: changed}}))
    except ConfigError as error:
        place = f"tables.{table}.anonymize"
        raise InvalidInput([Mistake(str(file), 1, place, one.wrong, one.right) for one in error.mistakes]) from error


def _wrong(file: Path, path: str, wrong: str, right: str) -> InvalidInput:
    return InvalidInput([Mistake(str(file), 1, path, wrong, right)])
