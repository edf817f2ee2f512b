"""What a run's task promises of the groups of a table, as far as the published columns can show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from control_api.actions.run_tables import compiled
from control_api.store.runs import Run
from processors.privacy.guarantees.requested import Request, requests_of, requests_of_links
from processors.transform.outputs import outputs
from schemas.columns import ColumnType
from schemas.task.model import Method


def asked_of(run: Run, table: str) -> tuple[Sequence[Method], tuple[Request, ...]]:
    """The methods of a table, or of the one that it was set apart from, and what they are to keep in it."""
    tables = run.carried_out.tables
    if table in tables:
        methods = tables[table].anonymize
        return methods, (*requests_of(methods), *requests_of_links(methods, beside=False))
    plans = compiled(run.carried_out).outputs()
    methods = next((tables[name].anonymize for name, plan in plans.items() if plan.methods.linked == table), [])
    return methods, requests_of_links(methods, beside=True)


def kinds_of(run: Run, table: str) -> dict[str, ColumnType]:
    """The types that the columns had before they were anonymized."""
    given, _ = outputs(run.spec)
    return {name: kind.type for name, kind in given.get(table, {}).items()}


def visible(columns: Mapping[str, ColumnType], request: Request) -> Request:
    """What of a request the published columns can show."""
    return replace(
        request,
        quasi_identifiers=tuple(name for name in request.quasi_identifiers if name in columns),
        subject=request.subject if request.subject in columns else None,
        diversity=tuple(one for one in request.diversity if one.column in columns),
        closeness=tuple(one for one in request.closeness if one.column in columns),
    )
