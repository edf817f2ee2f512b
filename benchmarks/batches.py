"""What a batch and a segment cost: `python -m benchmarks.batches [RECORDS]` prints JSON.

The contract's people as they leave a source, 65,536 to a batch, and sorted by a hash as the merge stores them.
Beside today's form stand Arrow's own: as it is, and packed by Arrow with lz4. Seconds are of processor time for all
records, bytes are for one; medians of several turns, taken in turn. A walk is also told for one partition of ten times
as many segments.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"  # before polars is loaded: as the services run

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

from benchmarks import people
from processors.merge.close import RANGE_ROWS
from processors.segments.format import build, from_bytes
from processors.segments.walk import ranges, walk
from processors.worker.cleanse import BLOCK_ROWS
from schemas import batch
from schemas.columns import CHANGED, HASH, SOURCE, WEIGHT

KEY = bytes(range(32))
RUNS = 5
PARTS = 3  # partitions of a run
MANY = 10  # times as many segments
TYPES = {"id": pl.Int64, "age": pl.Int64, "salary": pl.Float64}


def batches(count: int) -> list[pl.DataFrame]:
    rows = pl.concat(people.chunks(0, count * 100 // 55, 1, people.NONE)).head(count)
    return list(rows.cast(TYPES).with_row_index("_line").iter_slices(batch.MAX_ROWS))


def arrow(codec: str | None) -> tuple[Callable[[pl.DataFrame], Any], Callable[[Any], Any]]:
    options = pa.ipc.IpcWriteOptions(compression=codec)

    def encode(frame: pl.DataFrame) -> pa.Buffer:
        table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        return sink.getvalue()

    def decode(payload: pa.Buffer) -> Any:
        with pa.ipc.open_stream(payload) as reader:
            return pl.from_arrow(reader.read_all())

    return encode, decode


def placed(frames: list[pl.DataFrame]) -> list[list[pl.DataFrame]]:
    """The parts of each batch, as the rules stage sends them."""
    found: list[list[pl.DataFrame]] = [[] for _ in range(PARTS)]
    for number, frame in enumerate(frames):
        own = [pl.lit(0, dtype=pl.UInt64).alias(CHANGED), pl.lit(number % 2, dtype=pl.UInt16).alias(SOURCE)]
        rows = frame.drop("_line").with_columns(*own, pl.lit(1).alias(WEIGHT), pl.col("id").hash(7).alias(HASH))
        rows = rows.sort(HASH)
        for part, slot in enumerate(found):
            first, last = (rows.get_column(HASH).search_sorted(2**64 * edge // PARTS) for edge in (part, part + 1))
            slot.append(rows[first : rows.height if part == PARTS - 1 else last])
    return found


def walked(segments: list[list[bytes]], size: int) -> None:
    for part in segments:
        opened = [from_bytes(one, KEY) for one in part]
        for _ in walk(opened, ranges(opened, size) * PARTS):
            pass


def many(part: list[pl.DataFrame], times: int) -> list[bytes]:
    """Segments of as many rows each, whose hashes are others."""
    moved = (frame.with_columns(pl.col(HASH) + 977 * turn).sort(HASH) for turn in range(times) for frame in part)
    return [build(frame, KEY, BLOCK_ROWS) for frame in moved]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    frames = batches(count)
    parts = placed(frames)
    kinds = {"narrow": (batch.encode, batch.decode), "arrow": arrow(None), "arrow_lz4": arrow("lz4")}
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    sizes: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        made = work()
        seconds[name].append(time.process_time() - started)
        return made

    for _ in range(RUNS):
        for name, (encode, decode) in kinds.items():
            payloads = timed(f"{name}_encode", lambda encode=encode: [encode(frame) for frame in frames])
            timed(f"{name}_decode", lambda decode=decode, made=payloads: [decode(one) for one in made])
            sizes[name] = round(sum(map(len, payloads)) / count, 1)
        segments = timed("segment_build", lambda: [[build(one, KEY, BLOCK_ROWS) for one in part] for part in parts])
        for name, size in (("segment_walk", RANGE_ROWS), ("segment_walk_in_small_ranges", RANGE_ROWS // 5)):
            timed(name, lambda size=size, made=segments: walked(made, size))
        sizes["segment"] = round(sum(len(one) for part in segments for one in part) / count, 1)
    held = many(parts[0], MANY)
    for _ in range(RUNS):
        timed("segment_walk_of_many", lambda: walked([held], RANGE_ROWS))
    told = {name: round(statistics.median(taken), 3) for name, taken in seconds.items()}
    print(
        json.dumps(
            {
                "cores": os.cpu_count(),
                "records": count,
                "many": {"segments": len(held), "records": MANY * sum(frame.height for frame in parts[0])},
                "cpu_seconds": told,
                "bytes_per_record": sizes,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
