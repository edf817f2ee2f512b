"""Whether a batch that comes in is new, and whether a barrier ends an epoch. Changes only the progress it is given.

What always holds: of one producer only what its newest announced generation sends is taken in, each sequence number
once. An epoch is closed when every producer has ended it; what came in before that counts, whatever its own epoch.
"""

from __future__ import annotations

from typing import Any, Literal

from processors.worker.ledger import Progress
from schemas.headers import FINAL, Header
from schemas.run import REPLAY_LANE

REPLAY = f"lane/{REPLAY_LANE}"

Verdict = Literal["seen", "claimed", "taken", "ended"]


def take(progress: Progress, offset: int, header: Header) -> Verdict:
    """`seen`: to be dropped. Otherwise the progress now includes this message."""
    if offset <= progress.applied:
        return "seen"
    entry = progress.seen.get(header.producer, [0, -1, -1])
    generation, sequence, epoch = entry
    if header.kind == "claim":
        if header.generation <= generation:
            return "seen"
        progress.seen[header.producer] = [header.generation, sequence, epoch]
        progress.applied = offset
        return "claimed"
    if header.generation != generation or header.sequence <= sequence:
        return "seen"
    ended = header.kind in ("barrier", "end")
    progress.seen[header.producer] = [
        generation,
        header.sequence,
        max(epoch, header.epoch) if ended else epoch,
    ]
    progress.applied = offset
    progress.at = max(progress.at, float(header.extra.get("at") or 0.0))
    return "ended" if ended else "taken"


def closing(progress: Progress, producers: list[str]) -> int | None:
    """The epoch that can be closed now, if it is newer than the last one that was."""
    ends = [progress.seen.get(name, [0, -1, -1])[2] for name in producers]
    epoch = min(ends)
    if epoch >= FINAL:
        replays = progress.seen.get(REPLAY, [0, -1, -1])[2]
        epoch = max(epoch, replays)
    return epoch if epoch > progress.epoch else None


def add_counts(total: dict[str, Any], more: dict[str, Any]) -> None:
    """Adds numbers, and the dropped ones rule by rule."""
    for name, value in more.items():
        if name == "dropped":
            dropped = total.setdefault("dropped", {})
            for rule, count in value.items():
                dropped[rule] = dropped.get(rule, 0) + count
        else:
            total[name] = total.get(name, 0) + value
