"""Dead letters into the control store. A letter's id is a function of the record, so the same one twice is once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg

from connectors.review.messages import Chunk
from connectors.review.store import Stored, advance
from control_api.settle import settle
from schemas import events


@dataclass
class StoredLetters(Stored):
    runs: set[str] = field(default_factory=set)


def store_letters(conn: psycopg.Connection[Any], chunk: Chunk) -> StoredLetters:
    """Stores a chunk of metal.deadletter. Letters of a run that is over are dropped: nothing can open them."""
    found = [events.decode("dead_letters", message.value) for message in chunk.messages]
    with conn.transaction():
        conn.execute("SET LOCAL synchronous_commit = on")
        advance(conn, chunk)
        runs = sorted({letters["run"] for letters in found})
        live = {run for (run,) in conn.execute(_LIVE, (runs,))}
        done = StoredLetters(size=chunk.size, runs=live)
        for letters in found:
            if letters["run"] in live:
                done.rows += _insert(conn, letters)
            else:
                done.dropped += len(letters["letters"])
        for run in sorted(live):
            settle(conn, run)
    return done


_LIVE = """
SELECT run FROM metal.runs
WHERE run = ANY(%s) AND ended_at IS NULL AND state IN ('running', 'paused', 'prepared') ORDER BY run
"""
_INSERT = """
INSERT INTO metal.dead_letters (run, tab, stage, id, rule, col, reason, position, sealed)
SELECT %s, %s, %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::bytea[])
ON CONFLICT DO NOTHING
"""
_FIELDS = ("id", "rule", "column", "reason", "position", "sealed")


def _insert(conn: psycopg.Connection[Any], letters: dict[str, Any]) -> int:
    fields = [[_storable(letter[name]) for letter in letters["letters"]] for name in _FIELDS]
    return conn.execute(_INSERT, (letters["run"], letters["table"], letters["stage"], *fields)).rowcount


def _storable(value: Any) -> Any:
    """PostgreSQL holds no U+0000, neither in a text nor, escaped, in JSON."""
    return (
        value.replace("\0", "\N{SYMBOL FOR NULL}").replace("\\u0000", "\N{SYMBOL FOR NULL}")
        if isinstance(value, str)
        else value
    )
