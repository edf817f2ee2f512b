"""Plans a run: its splits, the lanes that read them and the partitions that its batches are spread over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from connectors.sources.contract import Source
from control_api.store.lanes import PlannedSplit
from schemas.task.model import Task

PARTITION_BYTES = 96 << 20  # of source data, for a second partition; one more for each doubling
MAX_LANES = 8

Open = Callable[[str, str], Source]


def list_splits(task: Task, open_source: Open) -> Iterator[tuple[str, str, str, int, dict[str, object]]]:
    """(table, source, name, size, spec) of every split of every source, in declared order."""
    for table_name, table in task.tables.items():
        for source_name in table.sources:
            source = open_source(table_name, source_name)
            try:
                for split in source.splits():
                    yield table_name, source_name, split.name, split.size, split.spec
            finally:
                source.close()


def choose(task: Task, sizes: list[int], total: int) -> tuple[int, int]:
    """(lanes, partitions): few for little data, so that barriers stay few."""
    lanes = max(1, min(len(sizes), total, MAX_LANES))
    if task.partitions is not None:
        return lanes, min(task.partitions, total)
    if task.mode == "continuous":
        return lanes, min(2, total)
    wanted = (1 + sum(sizes) // PARTITION_BYTES).bit_length()  # each cuts a batch into smaller messages
    return lanes, max(1, min(wanted, total))


def assign(listed: list[tuple[str, str, str, int, dict[str, object]]], lanes: int) -> list[PlannedSplit]:
    """The largest first to the lane that has least, so that lanes end together."""
    loads = [0] * lanes
    placed: dict[int, int] = {}
    for index in sorted(range(len(listed)), key=lambda i: (-listed[i][3], i)):
        lane = loads.index(min(loads))
        loads[lane] += listed[index][3] + 1
        placed[index] = lane
    return [
        PlannedSplit(
            f"{table}/{source}/{name}",
            placed[i],
            table,
            source,
            i,
            {"name": name, "size": size, "spec": spec},
        )
        for i, (table, source, name, size, spec) in enumerate(listed)
    ]
