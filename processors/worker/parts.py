"""The parts of runs that this worker keeps for one table: made when first needed, dropped with the partition."""

from __future__ import annotations

from processors.worker.directory import RunInfo
from processors.worker.run_part import RunPart, forget, stored_runs
from processors.worker.table import SegmentTable


class Parts:
    def __init__(self, table: SegmentTable) -> None:
        self.table = table
        self._parts: dict[tuple[int, str], RunPart] = {}

    def get(self, partition: int, info: RunInfo) -> RunPart:
        if (partition, info.run) not in self._parts:
            self._parts[partition, info.run] = RunPart(partition, info, self.table)
        return self._parts[partition, info.run]

    def drop(self, partitions: set[int]) -> None:
        for key in [key for key in self._parts if key[0] in partitions]:
            del self._parts[key]

    async def forget(self, run: str, partitions: set[int]) -> None:
        for partition in partitions:
            self._parts.pop((partition, run), None)
            await forget(self.table, partition, run)

    def runs(self, partitions: set[int]) -> set[str]:
        return {run for partition in partitions for run in stored_runs(self.table, partition)}
