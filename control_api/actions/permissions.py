"""Permissions and the permits that carry them: given, revoked, and asked for before an action that takes one.

What always holds: a refusal is in the audit log whatever becomes of the caller's transaction. The bearer token of the
API grants nothing here, and nothing that it opens gives a permit: that takes the database's own credentials. Roles
will grant permissions by way of the same `Caller`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Final

from control_api.actions.context import Context, wrong
from control_api.store import audit, permits
from control_api.store.db import Connection
from schemas.errors import Denied, NotFound
from schemas.permissions import ANONYMIZATION_OFF, ANYBODY, Caller, Permission

PREFIX: Final = "metal-permit-"  # so that no other secret is taken for one
DAYS: Final = 90.0
MOST_DAYS: Final = 3650.0
_HOLDER: Final = re.compile(r"[\w.@+-]{1,64}")
_HOW: Final = "name the file of a permit with --permit or METAL_PERMIT; who runs mETaL gives one: metal permit give"


def give(
    conn: Connection,
    actor: str,
    holder: str,
    keep: Callable[[str], None],
    days: float = DAYS,
    permission: Permission = ANONYMIZATION_OFF,
) -> None:
    """Makes a permit and has `keep` take its secret, which is nowhere else; there is none if that fails."""
    if not _HOLDER.fullmatch(holder):
        raise wrong("holder", f"{holder!r} is no name", "give up to 64 letters, digits or . @ + - _")
    if not 0 < days <= MOST_DAYS:
        raise wrong("days", f"{days:g} is not that", f"give a number above 0 and up to {MOST_DAYS:g}")
    secret = PREFIX + secrets.token_urlsafe(32)
    until = permits.add(conn, secret, holder, permission, actor, days)
    keep(secret)
    audit.record(conn, actor, "permit.given", holder, {"permission": permission, "until": until.isoformat()})


def revoke(conn: Connection, actor: str, holder: str) -> int:
    """Takes every permit of the holder back; says how many."""
    gone = permits.revoke(conn, holder)
    if not gone:
        raise NotFound(f"{holder} holds no permit that counts; see: metal permit list")
    audit.record(conn, actor, "permit.revoked", holder, {"permits": gone})
    return gone


def caller_of(ctx: Context, secret: str) -> Caller:
    """Who comes with this permit."""
    with ctx.connections() as conn:
        found = permits.find(conn, secret)
    if found is None:
        return Caller(refused="it is not known here")
    if found.revoked_at is not None:
        return Caller(refused="it was revoked")
    if not found.young:
        return Caller(refused="its time is over")
    return Caller(frozenset({found.permission}), found.holder)


def require(ctx: Context, actor: str, permission: Permission, subject: str, doing: str) -> str:
    """The holder of the permission; raises `Denied`, which is audited. `doing` says what takes it."""
    caller = ctx.caller
    if permission in caller.permissions and caller.holder is not None:
        return caller.holder
    why = "no permit came along" if caller == ANYBODY else f"the permit does not count: {caller.refused or 'other'}"
    with ctx.connections() as conn:
        audit.record(conn, actor, "permission.refused", subject, {"permission": permission, "doing": doing, "why": why})
    raise Denied(f"{doing} takes the permission {permission}, and {why}; {_HOW}")
