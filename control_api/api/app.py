"""The control API: finds its routes by walking `control_api/api/routes`, each module with a `router`.

Everything below /api/v1 needs the bearer token. A router with `public = True` beside it (health, metrics) does not.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any, Final

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_api.actions.context import Context
from control_api.api import problems, routes
from control_api.api.access import authenticated
from control_api.api.metrics import Metrics

PREFIX: Final = "/api/v1"
MAX_BODY: Final = 4 * 1024 * 1024


def create_app(ctx: Context, token: str, metrics: Metrics, **state: Any) -> FastAPI:
    """`state` is what further routes need; they find it in `request.app.state`."""
    app = FastAPI(title="mETaL control API", version="1", docs_url="/docs", redoc_url=None)
    app.state.context = ctx
    app.state.token = token
    app.state.metrics = metrics
    for name, value in state.items():
        setattr(app.state, name, value)
    problems.install(app)
    for info in sorted(pkgutil.iter_modules(routes.__path__), key=lambda one: one.name):
        module = import_module(f"{routes.__name__}.{info.name}")
        if getattr(module, "public", False):
            app.include_router(module.router)
        else:
            app.include_router(module.router, prefix=PREFIX, dependencies=[Depends(authenticated)])
    app.add_middleware(_Bounded)
    app.add_middleware(metrics.middleware())
    return app


class _TooLargeError(Exception):
    pass


class _Bounded:
    """Refuses bodies beyond MAX_BODY before they are held in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise _TooLargeError
            return message

        async def unless_refused(message: Message) -> None:
            if seen <= MAX_BODY:  # else it is the answer to what looked like a broken body
                await send(message)

        try:
            await self._app(scope, bounded, unless_refused)
        except _TooLargeError:
            pass  # answered below
        if seen > MAX_BODY:
            answer = problems.problem(413, "too-large", f"a request may have up to {MAX_BODY} bytes")
            await answer(scope, receive, send)
