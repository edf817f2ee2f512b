"""Records per second of the contract's people rules, in batches of 64k: python -m benchmarks.rules."""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import polars as pl

import processors.rules
from processors.rules.protocol import Rule
from processors.rules.runner import compile_rules
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column

ROWS = 65_536
ROUNDS = 40
PEOPLE: dict[str, dict[str, Any]] = {
    "id": {"type": "int64"},
    "name": {"type": "string"},
    "email": {"type": "string", "normalize": ["trim", "lower"]},
    "age": {"type": "int64", "range": {"min": 0, "max": 100, "outside": "clamp"}},
    "salary": {"type": "float64", "range": {"min": 10, "outside": "drop"}},
    "city": {"type": "string", "empty": {"replace": "unknown"}},
    "note": {"type": "string"},
}


def people() -> pl.DataFrame:
    """A batch in which one value in ten or so is out of form."""
    i = pl.int_range(ROWS)
    number = i.cast(pl.String)
    return pl.select(
        id=i,
        name=pl.format("Name {}", number),
        email=pl.when(i % 10 == 0).then(pl.format(" User{}@Example.org ", number)).otherwise(
            pl.format("user{}@example.org", number)
        ),
        age=i * 7919 % 116 - 5,
        salary=(i * 104_729 % 500_000) / 100,
        city=pl.when(i % 10 == 1).then(None).when(i % 10 == 2).then(pl.lit("")).otherwise(pl.lit("Oslo")),
        note=pl.format("a note of some length about {}", number),
    ).cast({name: polars_type(Column.model_validate(raw).type) for name, raw in PEOPLE.items()})  # fmt: skip


def main() -> None:
    rules = compile_rules(
        {name: Column.model_validate(raw) for name, raw in PEOPLE.items()}, discover(processors.rules, Rule)
    )
    frame = people()
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(ROUNDS):
            rules.apply(frame)
        rates.append(ROUNDS * ROWS / (time.perf_counter() - start))
    print(json.dumps({"cores": os.cpu_count(), "rules_people_records_per_second": round(statistics.median(rates))}))


if __name__ == "__main__":
    main()
