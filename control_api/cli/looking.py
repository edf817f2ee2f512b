"""Looks at the data of a task file as a start does, further and in other systems too: metal task lint --sources."""

from __future__ import annotations

import os
from pathlib import Path

from control_api.actions.beforehand import ASKED, look
from control_api.actions.embedding import embed
from control_api.cli.starting import environment
from control_api.composition import components
from control_api.store.tasks import dump
from schemas.errors import Mistake
from schemas.task.load import load


def look_at_sources(file: Path) -> list[Mistake]:
    """What the data lacks for the task, and as warnings what could not be looked at."""
    loaded = load(file, components())
    task = embed(loaded.task, loaded.base, components(), str(file))
    secrets = {name: os.environ[name] for name in environment(dump(task)) if name in os.environ}
    found = look(task, loaded.base, secrets, components(), ASKED)
    right = "a run tells it at its end, if something is lacking"
    warnings = [Mistake(str(file), 1, "tables", note, right, "warning") for note in found.notes]
    return [*found.told(loaded.text, str(file)), *warnings]
