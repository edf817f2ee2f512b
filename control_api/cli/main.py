"""The `metal` command: finds its commands by walking `control_api/cli/commands`, and turns errors into exit codes.

0 done, 1 the run failed, 2 the input is wrong, 3 a service can't be reached, 4 not allowed, 5
what is certified is not anonymized. With --json an error is
the one document on stdout, unless the command has answered already. A command imports what is heavy when it runs.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from control_api.cli import commands
from control_api.cli.failures import INTERRUPTED, explain, failure
from control_api.cli.output import plain

ABOUT = "Collects records from corporate systems, cleans, merges and anonymizes them, and holds them for review."


def make_app() -> typer.Typer:
    app = typer.Typer(
        name="metal",
        help=ABOUT,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda one: one.name):
        import_module(f"{commands.__name__}.{info.name}").register(app)
    if plain(sys.stdout):
        for one in (app, *(group.typer_instance for group in app.registered_groups)):
            if one is not None:
                one.rich_markup_mode = None  # rich would draw boxes, and set letters in bold whatever NO_COLOR says
    return app


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    command = typer.main.get_command(make_app())
    try:
        code = command.main(list(arguments) or ["--help"], prog_name="metal", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        return explain(failure(error), as_json="--json" in arguments)
    return code if isinstance(code, int) else 0


def main() -> int:
    """The console script."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
