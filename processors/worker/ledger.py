"""The state of one run on one partition: visible segments, and what has been taken in.

State is a function of the log's prefix up to `applied`. A segment is named by the offsets it covers, and a wider range
hides every range inside it, so writing again what an offset caused changes nothing, whoever does it and whenever.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from schemas.errors import Fatal

_LENGTH = struct.Struct("<I")
OWN = "~"  # in the name of a table that a stage keeps for itself; no declared table has it


@dataclass(frozen=True, order=True)
class Name:
    """What an entry of the table covers; the table `""` is the record of what was taken in, without rows."""

    run: str
    table: str
    first: int
    last: int

    def key(self) -> bytes:
        return f"{self.run}|{self.table}|{self.first}|{self.last}".encode()

    @staticmethod
    def parse(key: bytes) -> Name:
        run, table, first, last = key.decode().split("|")
        return Name(run, table, int(first), int(last))


@dataclass
class Progress:
    """What has been taken in up to the offset `applied`, and what was sent out because of it."""

    applied: int = -1
    seen: dict[str, list[int]] = field(default_factory=dict)  # producer -> [generation, sequence, epoch]
    closes: int = 0  # how many epochs were closed
    epoch: int = -1  # the last that was
    boundary: int = -1  # the offset that closed it
    out: int = 0  # the next sequence number to send
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)  # producer -> counts it told
    at: float = 0.0  # the newest extraction time taken in

    def encode(self) -> bytes:
        return orjson.dumps(asdict(self))

    @staticmethod
    def decode(payload: bytes | memoryview) -> Progress:
        return Progress(**orjson.loads(payload))


def pack(progress: Progress, segment: bytes = b"") -> bytes:
    head = progress.encode()
    return b"".join([_LENGTH.pack(len(head)), head, segment])


def unpack_progress(value: bytes) -> Progress:
    (length,) = _LENGTH.unpack_from(value)
    return Progress.decode(value[_LENGTH.size : _LENGTH.size + length])


def segment_start(head: bytes) -> int:
    """Where the segment begins inside an entry, told from the entry's first bytes."""
    (length,) = _LENGTH.unpack_from(head)
    return _LENGTH.size + int(length)


def visible(names: Iterable[Name]) -> list[Name]:
    """Of one table: what no wider range hides, in offset order."""
    kept: list[Name] = []
    for name in sorted(names, key=lambda n: (n.first, -n.last)):
        if kept and name.last <= kept[-1].last:
            continue
        if kept and name.first <= kept[-1].last:
            raise Fatal(f"segments overlap: {kept[-1]} and {name}")
        kept.append(name)
    return kept


def mergeable(sizes: list[int], limit: int, fan: int = 8, base: int = 4096) -> tuple[int, int] | None:
    """(where, how many) neighbouring segments to merge into one of at most `limit`; None while there are few.

    Segments stand in tiers, each a factor larger than the one below. A merge takes `fan` of one tier and whatever
    smaller stands between them, so that a row is written again about once a tier: the work follows the new records.
    Of the highest tier `fan` may be more than the limit allows: there what fills half of it is enough, and stays.
    Whether sizes count rows or bytes is the caller's to say.
    """
    low, size = 0, base
    while low < limit:
        highest = size >= limit
        below = -(-limit // 2) if highest else size  # larger ones end a row of neighbours
        start = count = full = total = 0
        for i, n in enumerate([*sizes, limit]):
            if n < below and total + n <= limit:
                start = start if count else i
                count, full, total = count + 1, full + (n >= low), total + n
                continue
            if full >= fan or (highest and count > 1 and 2 * total >= limit and i < len(sizes)):
                return start, count
            start, count, full, total = (i, 1, int(n >= low), n) if n < below else (0, 0, 0, 0)
        low, size = size, size * fan
    return None
