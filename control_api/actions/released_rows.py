"""What of a run's table a release is: the rows as they would leave now, and how they are to be compared with others.

Of tables that promise groups of records, and of tables of totals that keep small groups to themselves. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from control_api.actions.promised import asked_of, kinds_of, visible
from control_api.actions.run_tables import compiled
from control_api.store import published as store
from control_api.store.db import Connection
from control_api.store.outbox import IDENTITY, plan_of
from control_api.store.published import Wanted
from control_api.store.runs import Run
from processors.aggregate.released import Told, published, told_of
from processors.anonymize.runner import CompiledMethods
from processors.privacy.guarantees.requested import GROUP, Request
from processors.privacy.releases.versions import Scope, Shape, Version
from processors.wrong_config import ConfigError
from schemas.columns import ColumnType
from schemas.errors import Conflict

VALUES: Final = 2  # of a sensitive column that a group has at least, where no number is asked for


@dataclass(frozen=True)
class Kept:
    """What is to be compared: groups of records as they were asked for, or totals.

    `table` is the one that the groups are promised of: also for the table that was set apart from it.
    """

    table: str
    columns: Mapping[str, ColumnType]
    methods: CompiledMethods
    how: Request | Told

    @property
    def k(self) -> int:
        return self.how.k or VALUES


def kept(conn: Connection, run: Run, table: str) -> Kept | None:
    """None for a table that promises nothing of groups."""
    try:
        plans = compiled(run.carried_out).outputs()
    except ConfigError as error:
        why = f"its task has what this version of mETaL can't read ({error}), so what it promises isn't known"
        right = "run the task again, or export it in the version that it ran in"
        raise Conflict(f"table {table} of run {run.run} can't leave: {why}; {right}") from error
    base = next((name for name, plan in plans.items() if plan.methods.linked == table), table)
    if base not in plans:
        return None
    columns, methods = plan_of(conn, run.run, base).columns, plans[base].methods
    for request in asked_of(run, base)[1]:
        seen = visible(columns, request)
        if seen.quasi_identifiers:
            return Kept(base, columns, methods, seen)
    told = None if run.waives(base) or base not in run.spec.tables else told_of(base, run.spec)
    return None if told is None else Kept(base, columns, methods, published(told, columns, _treated(methods)))


def made(url: str, at: str, run: Run, of: Kept, provenance: bool) -> Version:
    """The rows as they stand at a moment of the database."""
    if isinstance(of.how, Request):
        return _version(url, at, run, of.table, of.how, of.columns, of.methods, provenance)
    shape = Shape(run=run.run, columns=tuple(of.columns), k=of.k, totals=of.how.totals)
    return Version(shape, store.published(url, at, run.run, of.table, Wanted(tuple(of.columns))))


def related(conn: Connection, run: Run, of: Kept) -> Iterator[Kept]:
    """The other tables of the run's task whose totals are of the same records."""
    for name in run.spec.tables if isinstance(of.how, Told) else ():
        other = kept(conn, run, name) if name != of.table else None
        if other is not None and isinstance(other.how, Told) and isinstance(of.how, Told) and of.how.related(other.how):
            yield other


def _treated(methods: CompiledMethods) -> set[str]:
    whole = [one for _, one in methods.wholes]
    return {name for one in (*methods.treatments, *whole) for name in one.outputs}


def _version(
    url: str,
    at: str,
    run: Run,
    table: str,
    request: Request,
    columns: Mapping[str, ColumnType],
    methods: CompiledMethods,
    provenance: bool,
) -> Version:
    identity, scope = _identity(url, at, run, table, columns, methods, provenance)
    apart = methods.linked is not None
    regions = () if apart else request.quasi_identifiers
    most, counted = (1, False)
    if request.subject is not None and not apart:
        most, counted = store.rows_of_one(url, at, run.run, table, regions, request.subject)
    sensitive = () if apart else request.sensitive
    plain = {*regions, *sensitive, *identity, *([GROUP] if apart else [])}
    wanted = Wanted(
        (*regions, *sensitive),
        identity,
        request.subject if identity and counted else None,
        [name for name in columns if name not in plain],
        (methods.linked or "", methods.group.suffix) if apart and methods.group else None,
    )
    shape = Shape(
        run=run.run,
        columns=tuple(columns),
        quasi_identifiers=regions,
        sensitive=sensitive,
        k=request.k or VALUES,
        distinct=tuple(_values(request, name) for name in sensitive),
        kinds={name: kind for name, kind in kinds_of(run, table).items() if name in regions},
        hierarchies={name: rows for name, rows in request.hierarchies.items() if name in regions},
        levels=request.search == "full_domain",
        rows_of_one=most,
        identity=identity,
        scope=scope,
        apart=apart,
    )
    return Version(shape, store.published(url, at, run.run, table, wanted))


def _values(request: Request, column: str) -> int:
    """How many values of a sensitive column are asked for, as far as they are counted one by one."""
    asked = [int(one.l) for one in request.diversity if one.column == column and one.kind == "distinct"]
    return max([VALUES, *asked])


def _identity(
    url: str,
    at: str,
    run: Run,
    table: str,
    columns: Mapping[str, ColumnType],
    methods: CompiledMethods,
    provenance: bool,
) -> tuple[tuple[str, ...], Scope]:
    """What tells a published row from all others and stays the same: in all runs of the task, or in this one."""
    declared = run.spec.tables[table].primary_key
    key: Sequence[str] = declared.columns if declared is not None else ()
    if key and set(key) <= set(columns):
        if _treated(methods).isdisjoint(key):
            return tuple(key), "task"
        if store.unique(url, at, run.run, table, key):
            return tuple(key), "run"
    return ((IDENTITY,), "run") if provenance else ((), "")
