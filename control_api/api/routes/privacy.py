"""Privacy budgets: how much may be told of some people, and how much of that is left."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from control_api.actions import privacy
from control_api.api.access import Actor, Ctx
from control_api.api.bodies import Budget

router = APIRouter(tags=["privacy"])


@router.get("/privacy/budgets")
def list_budgets(ctx: Ctx) -> dict[str, Any]:
    """Every budget, by name, with what is spent and left of it."""
    return {"items": privacy.list_budgets(ctx)}


@router.get("/privacy/budgets/{name}")
def get_budget(ctx: Ctx, name: str) -> dict[str, Any]:
    return privacy.get_budget(ctx, name)


@router.put("/privacy/budgets/{name}")
def set_budget(ctx: Ctx, actor: Actor, name: str, body: Budget) -> dict[str, Any]:
    """Sets or replaces a budget. What was told already stays spent."""
    return privacy.set_budget(ctx, actor, name, body.epsilon, body.delta)
