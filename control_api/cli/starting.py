"""What starting a task takes: its file registered and released, its secrets sent along."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from control_api.cli.client import Client
from schemas.errors import InvalidInput, Mistake


def read(file: Path) -> dict[str, str]:
    """A task file as the API takes it."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        wrong = f"the file can't be read: {error.strerror}"
        right = "name a task file that exists"
        if not file.suffix:
            right += f"; a task that is registered is started with: metal task start {file}"
        raise InvalidInput([Mistake(str(file), 1, "(file)", wrong, right)]) from error
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start} is not UTF-8"
        raise InvalidInput([Mistake(str(file), 1, "(file)", wrong, "save the file as UTF-8")]) from error
    return {"text": text, "base": str(file.resolve().parent), "file": str(file)}


def register(client: Client, file: Path) -> dict[str, Any]:
    """The released version that says what the file says."""
    task = client.post("/tasks", read(file))
    found: dict[str, Any] = client.post(f"/tasks/{task['task']}/versions/{task['version']}/release")
    return found


def start(
    client: Client, task: dict[str, Any], file: Path | None = None, off: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A run of this version. What the task names as {env: X} and is set here is sent along.

    `file` is where its text stands, for mistakes that show in its data; `off` is what `waiving.asked` says of a run
    without anonymization.
    """
    secrets = {name: os.environ[name] for name in sorted(set(environment(task["spec"]))) if name in os.environ}
    body = {"task": task["task"], "version": task["version"], "secrets": secrets}
    if file is not None:
        body["file"] = str(file)
    if off is not None:
        body["without_anonymization"] = off
    found: dict[str, Any] = client.post("/runs", body, {"Idempotency-Key": str(uuid.uuid4())})
    return found


def environment(value: Any) -> Iterator[str]:
    """The names X that a spec uses as {env: X}."""
    if isinstance(value, Mapping):
        if set(value) == {"env"} and isinstance(value["env"], str):
            yield value["env"]
        for part in value.values():
            yield from environment(part)
    elif isinstance(value, list):
        for part in value:
            yield from environment(part)
