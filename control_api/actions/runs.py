"""What can be done with runs. A transport calls these with the actor that it has made sure of."""

from __future__ import annotations

import base64
import secrets as randomness
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version as installed
from typing import Any, Final

from control_api.actions import privacy, transitions, waivers
from control_api.actions.beforehand import START, look
from control_api.actions.context import Context, wrong
from control_api.settle import settle
from control_api.store import audit, control, idempotency, runs, tasks
from control_api.store.db import Connection
from control_api.store.keys import create_key, put_secrets
from control_api.store.runs import Run
from control_api.store.tasks import TaskVersion
from schemas.errors import Conflict, InvalidInput
from schemas.placement import fingerprint
from schemas.waiver import Asked, without_methods

_PREFIX: Final = 47  # of a task's name: the review store's schema is outbox_RUN, and a name has 63 bytes


def start_run(
    ctx: Context,
    actor: str,
    task: str,
    version: int | None = None,
    secrets: Mapping[str, str] | None = None,
    key: str | None = None,
    file: str | None = None,
    without_anonymization: Asked | None = None,
) -> Run:
    """Starts the named version of a task, or the newest that is released.

    `secrets` are values for what the task names as `{env: X}`; what stays open, a service finds in its own
    environment. A second start under the same idempotency `key` gives the run of the first. `file` is what mistakes
    call the task, where its data can't keep what it asks for: then nothing is started. What turns anonymization off
    takes a permission of its own, each time.
    """
    holder = None
    if without_anonymization is not None:
        holder = waivers.permitted(ctx, actor, task, without_anonymization)
    secrets = dict(secrets or {})
    waived = {} if without_anonymization is None else {"without_anonymization": asdict(without_anonymization)}
    asked = idempotency.digest({"task": task, "version": version, "secrets": sorted(secrets)} | waived)
    with ctx.connections() as conn:
        if key is not None and (before := idempotency.recall(conn, actor, key, asked)) is not None:
            return runs.get_run(conn, before["run"])
        chosen = _startable(conn, task, version)
        _check_secrets(chosen, secrets)
        privacy.check_left(conn, chosen.spec)
        off = () if without_anonymization is None else waivers.waived_tables(chosen.spec, without_anonymization)
    version = chosen.version
    notes = _looked_at(ctx, chosen, secrets, file or f"{task}, version {version}", off)
    with ctx.connections() as conn:
        if key is not None and (before := idempotency.recall(conn, actor, key, asked)) is not None:
            return runs.get_run(conn, before["run"])
        tasks.lock_task(conn, task)
        chosen = _startable(conn, task, version)
        run = _insert(ctx, conn, actor, chosen, secrets, off)
        if without_anonymization is not None and holder is not None:
            waivers.keep(conn, actor, run, off, holder, without_anonymization)
        if notes:
            runs.add_notes(conn, run, notes)
        if key is not None:
            idempotency.keep(conn, actor, key, asked, {"run": run})
        control.enqueue(conn, run, "start")
        detail = {"task": task, "version": chosen.version, "secrets": sorted(secrets)}
        audit.record(conn, actor, "run.started", run, detail)
        waivers.note(conn, actor, run)
        return runs.get_run(conn, run)


def pause_run(ctx: Context, actor: str, run: str, reason: str | None = None) -> Run:
    return _change(ctx, run, lambda conn: transitions.pause(conn, actor, run, reason))


def resume_run(ctx: Context, actor: str, run: str, reason: str | None = None) -> Run:
    def change(conn: Connection) -> None:
        if transitions.resume(conn, actor, run, reason):
            settle(conn, run)  # its last batch may have been stored while it was paused

    return _change(ctx, run, change)


def stop_run(ctx: Context, actor: str, run: str, reason: str | None = None, drop_prepared: bool = False) -> Run:
    return _change(ctx, run, lambda conn: transitions.stop(conn, actor, run, reason, drop_prepared))


def finish_run(ctx: Context, actor: str, run: str, reason: str | None = None) -> Run:
    return _change(ctx, run, lambda conn: transitions.finish(conn, actor, run, reason))


def get_run(ctx: Context, run: str) -> Run:
    with ctx.connections() as conn:
        return runs.get_run(conn, run)


def list_runs(
    ctx: Context,
    task: str | None = None,
    states: Collection[str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> list[Run]:
    with ctx.connections() as conn:
        return runs.list_runs(conn, task, states, limit, cursor)


def environment_of(spec: Any) -> set[str]:
    """The names X that a spec uses as `{env: X}`."""
    return set(_environment(spec))


def _environment(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {"env"} and isinstance(value["env"], str):
            yield value["env"]
        for part in value.values():
            yield from _environment(part)
    elif isinstance(value, list):
        for part in value:
            yield from _environment(part)


def _startable(conn: Connection, task: str, version: int | None) -> TaskVersion:
    chosen = tasks.newest_released(conn, task) if version is None else tasks.get_task(conn, task, version)
    if chosen is None:
        newest = tasks.get_task(conn, task)
        raise Conflict(f"no version of task {task!r} is released; release version {newest.version} first")
    if not chosen.released:
        raise Conflict(f"version {chosen.version} of task {task!r} is not released; release it first")
    if chosen.spec.mode == "continuous":
        for run in runs.list_runs(conn, task, ("running", "paused"), limit=1):
            raise Conflict(f"continuous task {task!r} runs already, as {run.run}; stop that run first")
    return chosen


def _looked_at(ctx: Context, task: TaskVersion, secrets: dict[str, str], file: str, off: Collection[str]) -> list[str]:
    """What there is to note of the task's data; raises `InvalidInput` where its tables can't be grouped as asked.

    Outside of any transaction, since sources are read.
    """
    found = look(without_methods(task.spec, off), task.base, secrets, ctx.components, START)
    if found.mistakes:
        raise InvalidInput(found.told(task.text, file))
    return found.notes


def _check_secrets(task: TaskVersion, secrets: dict[str, str]) -> None:
    unknown = sorted(set(secrets) - environment_of(tasks.dump(task.spec)))
    if unknown:
        names = ", ".join(unknown)
        raise wrong("secrets", f"the task does not use {names}", "send only what it names as {env: NAME}")


def _insert(
    ctx: Context, conn: Connection, actor: str, task: TaskVersion, secrets: dict[str, str], off: Collection[str]
) -> str:
    suffix = base64.b32encode(randomness.token_bytes(5)).decode().lower()
    run = f"{task.name[:_PREFIX]}-{suffix}"
    conn.execute(
        "INSERT INTO metal.runs (run, task, version, mode, state, code_version, fingerprint, created_by)"
        " VALUES (%s, %s, %s, %s, 'running', %s, %s, %s)",
        (run, task.name, task.version, task.spec.mode, installed("metal-etl"), fingerprint(), actor),
    )
    create_key(conn, ctx.master, run)
    if secrets:
        put_secrets(conn, ctx.master, run, secrets)
    ctx.create_tables(conn, run, without_methods(task.spec, off))
    return run


def _change(ctx: Context, run: str, change: Callable[[Connection], object]) -> Run:
    with ctx.connections() as conn:
        change(conn)
        return runs.get_run(conn, run)
