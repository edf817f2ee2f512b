"""metal api, connect, worker, review: one service in the foreground, for the supervisor, compose and Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import typer

SERVICES = {
    "api": ("control_api.api.service", "The control API, with the relay of its events."),
    "connect": ("connectors.connect.service", "Reads the sources of runs."),
    "worker": ("processors.worker.service", "Runs every stage between sources and review store."),
    "review": ("connectors.review.service", "Writes what is prepared into the review store."),
}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for name, (module, about) in SERVICES.items():
        app.command(name, help=about)(_service(module))


def _service(module: str) -> Callable[[], None]:
    def serve() -> None:
        raise typer.Exit(import_module(module).main())

    return serve
