"""Pages of a list: as many as asked for, and where the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200)]


def page(found: Sequence[T], limit: int, name: Callable[[T], str], show: Callable[[T], Any]) -> dict[str, Any]:
    """`found` holds one more than the limit where there is a next page."""
    shown = found[:limit]
    more = len(found) > limit
    return {"items": [show(one) for one in shown], "next": name(shown[-1]) if more else None}
