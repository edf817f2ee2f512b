"""Tasks: register, lint, release, look at."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Response

from control_api.actions import tasks as actions
from control_api.api.access import Actor, Ctx
from control_api.api.bodies import TaskText
from control_api.api.paging import Cursor, Limit, page
from control_api.api.problems import Precondition, mistake_json
from control_api.store.tasks import TaskVersion, dump
from schemas.errors import Conflict

router = APIRouter(tags=["tasks"])
IfMatch = Annotated[str | None, Header()]


@router.get("/tasks")
def list_tasks(ctx: Ctx, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
    """The newest version of each task."""
    return page(actions.list_tasks(ctx, limit + 1, cursor), limit, lambda one: one.name, _brief)


@router.post("/tasks", status_code=201)
def create_task(ctx: Ctx, actor: Actor, body: TaskText, response: Response, if_match: IfMatch = None) -> dict[str, Any]:
    """A new version, or the one that says the same already. If-Match: the version that the author began with."""
    expect = None if if_match is None else _version_of(if_match)
    try:
        name, version = actions.create_task(ctx, actor, body.text, body.base, body.file, expect)
    except Conflict as error:
        raise Precondition(str(error)) from error
    return _tagged(actions.get_task(ctx, name, version), response)


@router.post("/tasks/lint")
def lint_task(ctx: Ctx, body: TaskText) -> dict[str, Any]:
    """Every mistake of a task; warnings stop nothing."""
    mistakes = actions.lint_task(ctx, body.text, body.base, body.file)
    sound = all(mistake.severity != "error" for mistake in mistakes)
    return {"ok": sound, "mistakes": [mistake_json(mistake) for mistake in mistakes]}


@router.get("/tasks/{name}")
def get_task(ctx: Ctx, name: str, response: Response, if_none_match: Annotated[str | None, Header()] = None) -> Any:
    """The newest version."""
    found = actions.get_task(ctx, name)
    if if_none_match is not None and if_none_match == _tag(found):
        return Response(status_code=304, headers={"ETag": _tag(found)})
    return _tagged(found, response)


@router.get("/tasks/{name}/versions")
def list_versions(ctx: Ctx, name: str) -> dict[str, Any]:
    return {"items": [_brief(one) for one in actions.list_versions(ctx, name)], "next": None}


@router.get("/tasks/{name}/versions/{version}")
def get_version(ctx: Ctx, name: str, version: int, response: Response) -> dict[str, Any]:
    return _tagged(actions.get_task(ctx, name, version), response)


@router.post("/tasks/{name}/versions/{version}/release")
def release_task(
    ctx: Ctx, actor: Actor, name: str, version: int, response: Response, if_match: IfMatch = None
) -> dict[str, Any]:
    """From here on it can be started. If-Match: what was looked at before it was released."""
    found = actions.get_task(ctx, name, version)
    if if_match is not None and if_match.strip() != _tag(found):
        raise Precondition(f"version {version} of task {name!r} has changed since {if_match}: it is {_tag(found)}")
    return _tagged(actions.release_task(ctx, actor, name, version), response)


def _tag(task: TaskVersion) -> str:
    return f'"{task.version}{"-released" if task.released else ""}"'


def _version_of(tag: str) -> int:
    found = re.fullmatch(r'"?(\d+)(-released)?"?', tag.strip())
    if found is None:
        raise HTTPException(400, 'If-Match must be the ETag of a version, such as "3"')
    return int(found[1])


def _tagged(task: TaskVersion, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = _tag(task)
    return _brief(task) | {"text": task.text, "base": str(task.base), "spec": dump(task.spec)}


def _brief(task: TaskVersion) -> dict[str, Any]:
    return {
        "task": task.name,
        "version": task.version,
        "mode": task.spec.mode,
        "description": task.spec.description,
        "tables": list(task.spec.tables),
        "released": task.released,
        "released_at": None if task.released_at is None else task.released_at.isoformat(),
        "created_at": task.created_at.isoformat(),
        "created_by": task.created_by,
    }
