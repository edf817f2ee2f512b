"""The audit log, and whether it is what was written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from control_api.api.access import Ctx
from control_api.api.paging import Limit, page
from control_api.store import audit
from control_api.store.audit import Entry, Head
from schemas.errors import InvalidInput, Mistake

router = APIRouter(tags=["audit"])


@router.get("/audit")
def search(
    ctx: Ctx,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Annotated[int | None, Query(ge=0)] = None,
    cursor: Annotated[int | None, Query(ge=1)] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest first; with `after`, what followed that entry, the oldest first. `action` may be a beginning."""
    with ctx.connections() as conn:
        found = audit.search(
            conn,
            actor=actor,
            action=action,
            subject=subject,
            since=since,
            until=until,
            after=after,
            before=cursor,
            limit=limit + 1,
        )
    return page(found, limit, lambda entry: str(entry.seq), _shown)


@router.get("/audit/verify")
def verify(
    ctx: Ctx, seq: Annotated[int | None, Query(ge=1)] = None, digest: Annotated[str | None, Query(alias="hash")] = None
) -> dict[str, Any]:
    """Checks the whole chain; `seq` and `hash` name an entry that was noted down earlier and must still be there."""
    if (seq is None) != (digest is None):
        raise InvalidInput([Mistake("(request)", 1, "query", "seq without hash, or hash without seq", "give both")])
    witness = None if seq is None or digest is None else Head(seq, digest)
    with ctx.connections() as conn:
        broken = audit.verify(conn, witness)
        head = audit.head(conn)
    found = None if broken is None else {"seq": broken.seq, "why": broken.why}
    return {"ok": broken is None, "broken": found, "head": {"seq": head.seq, "hash": head.hash}}


def _shown(entry: Entry) -> dict[str, Any]:
    return entry.facts() | {"previous": entry.previous, "hash": entry.hash}
