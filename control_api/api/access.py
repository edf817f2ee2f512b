"""Who calls: whoever holds the token of the API. The name given with it is noted in the audit log as given.

What takes a permission of its own takes a permit besides, in X-Metal-Permit; the actions ask for it.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Header, HTTPException, Request

from control_api.actions.context import Context
from control_api.actions.permissions import caller_of

_ACTOR: Final = re.compile(r"[\w.@+-]{1,64}")


def authenticated(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    scheme, _, token = authorization.partition(" ")
    expected: str = request.app.state.token
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        asked = {"WWW-Authenticate": 'Bearer realm="metal"'}
        wrong = "the bearer token is wrong" if token else "a bearer token is needed"
        raise HTTPException(401, f"{wrong}: see api.token in METAL_HOME", asked)


def _actor(x_metal_actor: Annotated[str, Header()] = "api") -> str:
    if not _ACTOR.fullmatch(x_metal_actor):
        raise HTTPException(400, "X-Metal-Actor must be a name of up to 64 letters, digits or . @ + - _")
    return x_metal_actor


def _context(request: Request, x_metal_permit: Annotated[str | None, Header(max_length=200)] = None) -> Context:
    found: Context = request.app.state.context
    return found if x_metal_permit is None else replace(found, caller=caller_of(found, x_metal_permit))


Actor = Annotated[str, Depends(_actor)]
Ctx = Annotated[Context, Depends(_context)]
