"""metal api, connect, worker, review: one service in the foreground, for the supervisor, compose and Kubernetes."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import typer

SERVICES = {
    "api": ("control_api.api.service", "Run one service, the control API, in the foreground."),
    "connect": ("connectors.connect.service", "Run one service, the readers of sources, in the foreground."),
    "worker": ("processors.worker.service", "Run one service, the stages of processing, in the foreground."),
    "review": ("connectors.review.service", "Run one service, the review writer, in the foreground."),
}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for name, (module, about) in SERVICES.items():
        app.command(name, help=about)(_service(module))


def _service(module: str) -> Callable[[], None]:
    def serve() -> None:
        raise typer.Exit(import_module(module).main())

    return serve
