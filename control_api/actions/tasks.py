"""What can be done with tasks. A transport calls these with the actor that it has made sure of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from control_api.actions.context import Context, wrong
from control_api.actions.embedding import embed
from control_api.store import audit, tasks
from control_api.store.tasks import TaskVersion
from schemas.errors import Conflict, InvalidInput, Mistake, NotFound
from schemas.task.load import lint_text
from schemas.task.model import Task


def lint_task(ctx: Context, text: str, base: str | Path, file: str = "task.yaml") -> list[Mistake]:
    """Every mistake of a task, warnings included. `file` is what the mistakes call it; `base` is where it stands."""
    return _read(ctx, text, _absolute(base), file)[1]


def create_task(
    ctx: Context, actor: str, text: str, base: str | Path, file: str = "task.yaml", expect: int | None = None
) -> tuple[str, int]:
    """Registers a task: a version that says the same already, or a new one.

    `expect` is the version that the author began with (0: none); if there is a newer one by now, nothing is done.
    """
    base = _absolute(base)
    spec, mistakes = _read(ctx, text, base, file)
    errors = [mistake for mistake in mistakes if mistake.severity == "error"]
    if errors or spec is None:
        raise InvalidInput(errors)
    spec = embed(spec, base, ctx.components, file)
    with ctx.connections() as conn:
        tasks.lock_task(conn, spec.task)
        known = tasks.versions_of(conn, spec.task)
        newest = known[0].version if known else 0
        if expect is not None and expect != newest:
            raise Conflict(f"task {spec.task!r} is at version {newest}, not {expect}")
        for version in known:
            if version.text == text and version.base == base and version.spec == spec:
                return version.name, version.version
        made = tasks.add_version(conn, spec, text, base, actor)
        audit.record(conn, actor, "task.created", f"{spec.task}/{made}", {})
    return spec.task, made


def release_task(ctx: Context, actor: str, name: str, version: int | None = None) -> TaskVersion:
    """From here on the version can be started, and never changes."""
    with ctx.connections() as conn:
        found = tasks.get_task(conn, name, version)
        if tasks.release(conn, name, found.version):
            audit.record(conn, actor, "task.released", f"{name}/{found.version}", {})
        return tasks.get_task(conn, name, found.version)


def get_task(ctx: Context, name: str, version: int | None = None) -> TaskVersion:
    with ctx.connections() as conn:
        return tasks.get_task(conn, name, version)


def list_tasks(ctx: Context, limit: int = 50, cursor: str | None = None) -> list[TaskVersion]:
    with ctx.connections() as conn:
        return tasks.list_tasks(conn, limit, cursor)


def list_versions(ctx: Context, name: str) -> list[TaskVersion]:
    with ctx.connections() as conn:
        found = tasks.versions_of(conn, name)
    if not found:
        raise NotFound(f"there is no task {name!r}")
    return found


def _absolute(base: str | Path) -> Path:
    base = Path(base)
    if not base.is_absolute():
        raise wrong("base", f"{str(base)!r} is not an absolute path", "give the directory of the task file")
    return base


def _read(ctx: Context, text: str, base: Path, file: str) -> tuple[Task | None, list[Mistake]]:
    spec, mistakes = lint_text(base / Path(file).name, text, ctx.components)
    return spec, [replace(mistake, file=file) for mistake in mistakes]
