"""The commands that `metal` has, as a tree of names, told by the command line itself."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer


def load_commands() -> dict[str, Any] | None:
    """None where the command line is not there."""
    try:
        main = import_module("control_api.cli.main")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("control_api"):
            return None
        raise
    return tree(typer.main.get_command(main.make_app()))


def tree(command: Any) -> dict[str, Any] | None:
    """Subcommands by name; None for a command that has none."""
    inside = getattr(command, "commands", None)
    return None if inside is None else {name: tree(one) for name, one in inside.items()}
