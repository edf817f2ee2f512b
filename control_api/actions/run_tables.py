"""What a run will prepare: its tables in the review store, made from the compiled task."""

from __future__ import annotations

from functools import cache

import processors.anonymize
import processors.rules
from control_api.store import outbox
from control_api.store.db import Connection
from processors.anonymize.protocol import Anonymization
from processors.plan import TaskPlan, compile_task
from processors.rules.protocol import Rule
from schemas.discovery import discover
from schemas.task.model import Task


@cache
def _found() -> tuple[dict[str, type[Rule]], dict[str, type[Anonymization]]]:
    rules = discover(processors.rules, Rule)
    methods = discover(processors.anonymize, Anonymization)
    return rules, methods


def compiled(task: Task) -> TaskPlan:
    return compile_task(task, *_found())


def create_tables(conn: Connection, run: str, task: Task) -> None:
    """In the transaction that makes the run."""
    plan = compiled(task)
    tables: dict[str, outbox.TablePlan] = {}
    for name, output in plan.outputs().items():
        collected = plan.tables.get(name)
        tables[name] = outbox.TablePlan(
            columns={column: output.methods.output_columns[column] for column in output.output},
            changes=list(collected.rules.changes) if collected else [],
            sources=list(collected.sources) if collected else [],
        )
    outbox.create_tables(conn, run, task.mode, tables)
