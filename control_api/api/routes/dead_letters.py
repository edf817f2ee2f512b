"""Records of a run that could not be processed: looked at, corrected and sent again, or discarded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from control_api.actions import dead_letters
from control_api.actions.dead_letters import Filter, Letter, State
from control_api.api.access import Actor, Ctx
from control_api.api.bodies import Body
from control_api.api.paging import Cursor, Limit, page
from schemas.errors import InvalidInput, Mistake

router = APIRouter(tags=["dead letters"])

_MOST = 10_000
Ids = Annotated[list[str] | None, Field(default=None, max_length=_MOST)]


class Chosen(Body):
    """Either `letters`, or `all`: every open one that `table` and `rule` (if given) find."""

    letters: Ids
    all: bool = False
    table: Annotated[str | None, Field(max_length=64)] = None
    rule: Annotated[str | None, Field(max_length=200)] = None


class Replay(Chosen):
    """`set` is set in each record; `records` are whole corrected records by letter."""

    set: dict[str, Any] = Field(default_factory=dict)
    records: Annotated[dict[str, dict[str, Any]], Field(max_length=_MOST)] = Field(default_factory=dict)


@router.get("/runs/{run}/deadletters")
def list_letters(
    ctx: Ctx,
    run: str,
    table: str | None = None,
    rule: str | None = None,
    state: State | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    with ctx.connections() as conn:
        found = dead_letters.list_letters(conn, run, Filter(table, rule, state), limit + 1, cursor)
        counted = dead_letters.count_letters(conn, run)
    return page(found, limit, lambda letter: letter.id, _shown) | {"counts": counted}


@router.post("/runs/{run}/deadletters/replay")
def replay(ctx: Ctx, actor: Actor, run: str, body: Replay) -> dict[str, Any]:
    """Sends records through every stage again, as they were or as corrected."""
    which = Filter(body.table, body.rule)
    with ctx.connections() as conn:
        letters = _letters(body, list(body.records))
        done = dead_letters.replay(conn, ctx.master, actor, run, letters, body.set, body.records, which)
    return {"run": run, "replayed": done}


@router.post("/runs/{run}/deadletters/discard")
def discard(ctx: Ctx, actor: Actor, run: str, body: Chosen) -> dict[str, Any]:
    """Closes letters for good. A prepared run without an open one ends."""
    with ctx.connections() as conn:
        done = dead_letters.discard(conn, actor, run, _letters(body, []), Filter(body.table, body.rule))
    return {"run": run, "discarded": done}


@router.get("/runs/{run}/deadletters/{letter:path}")
def get_letter(ctx: Ctx, actor: Actor, run: str, letter: str, reveal: bool = False) -> dict[str, Any]:
    """With `reveal`, also the raw record; that is noted in the audit log."""
    with ctx.connections() as conn:
        shown = _shown(dead_letters.get_letter(conn, run, letter))
        if reveal:
            shown["record"] = dead_letters.reveal(conn, ctx.master, actor, run, letter)
    return shown


def _letters(body: Chosen, corrected: list[str]) -> list[str] | None:
    """The named letters, or None for all that the filter finds."""
    named = [*(body.letters or []), *corrected]
    if bool(named) == body.all:
        raise InvalidInput([Mistake("(request)", 1, "letters", "name letters or say all", "give one of the two")])
    return None if body.all else list(dict.fromkeys(named))


def _shown(letter: Letter) -> dict[str, Any]:
    return asdict(letter) | {"at": letter.at.isoformat()}
