"""What stands in the Kafka headers of a batch: all that routing needs, so that nothing is decoded to be skipped.

`producer` and `sequence` number what one producer sends into one partition: a receiver that has seen a sequence
drops it. `generation` fences a lane's earlier owners: only the highest that the log has announced counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from schemas.errors import Fatal

Kind = Literal["data", "claim", "barrier", "end"]
KINDS = frozenset({"data", "claim", "barrier", "end"})
FINAL = 2**62  # the epoch of a barrier behind which nothing more comes


@dataclass(frozen=True, slots=True)
class Header:
    """`data`: rows. `claim`: a lane has a new owner. `barrier`: a lane ends an epoch. `end`: a stage ends one."""

    kind: Kind
    task: str
    run: str
    table: str
    producer: str
    generation: int
    sequence: int
    epoch: int
    rows: int
    extra: dict[str, Any] = field(default_factory=dict)


_TEXT = ("kind", "task", "run", "table", "producer")
_NUMBERS = ("generation", "sequence", "epoch", "rows")


def encode(header: Header) -> list[tuple[str, bytes]]:
    pairs = [(name, getattr(header, name).encode()) for name in _TEXT]
    pairs += [(name, str(getattr(header, name)).encode()) for name in _NUMBERS]
    pairs.append(("extra", orjson.dumps(header.extra)))
    return pairs


def decode(pairs: Iterable[tuple[str, Any]] | None) -> Header:
    """The header of a message; a message that carries none, or not a whole one, was not written by us."""
    found = dict(pairs or ())
    try:
        text = {name: bytes(found[name]).decode() for name in _TEXT}
        numbers = {name: int(found[name]) for name in _NUMBERS}
        extra = orjson.loads(found["extra"])
    except (KeyError, TypeError, ValueError) as error:
        raise Fatal(f"a message without a batch header stands in a stage topic: {error}") from error
    if not isinstance(extra, dict):
        raise Fatal("a message without a batch header stands in a stage topic: extra is no object")
    if text["kind"] not in KINDS:
        raise Fatal(f"a message of unknown kind {text['kind']!r} stands in a stage topic")
    return Header(**text, **numbers, extra=extra)  # type: ignore[arg-type]  # kind was checked above
