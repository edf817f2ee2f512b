"""Certificates of prepared tables, and the key that they are signed with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from control_api.actions import certificates
from control_api.api.access import Actor, Ctx
from schemas.errors import NotFound

router = APIRouter(tags=["certificates"])


@router.post("/runs/{run}/outbox/{table}/certificate")
def make_certificate(ctx: Ctx, actor: Actor, run: str, table: str) -> dict[str, Any]:
    """Measures the table as it would be exported, and signs what was found. Of an ended run that is done once."""
    return certificates.certify(ctx, actor, run, table)


@router.get("/runs/{run}/outbox/{table}/certificate")
def get_certificate(ctx: Ctx, run: str, table: str) -> dict[str, Any]:
    """The certificate that was made last."""
    found = certificates.get_certificate(ctx, run, table)
    if found is None:
        raise NotFound(f"table {table} of run {run} has no certificate; POST to the same path makes one")
    return found


@router.get("/certificates/key")
def get_key(ctx: Ctx) -> dict[str, str]:
    """The public key: what `metal certificate verify --key` takes."""
    return {"key": certificates.get_public_key(ctx)}
