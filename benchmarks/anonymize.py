"""Records per second of each anonymization method, in batches of 64k: python -m benchmarks.anonymize."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import polars as pl

import processors.anonymize
from processors.anonymize.identity import identities
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import compile_methods
from schemas.discovery import discover
from schemas.task.model import Column, Method

ROWS = 65_536
ROUNDS = 20
KEY = bytes(range(32))
COLUMNS = {
    "name": Column(type="string"),
    "email": Column(type="string"),
    "age": Column(type="int64"),
    "salary": Column(type="float64"),
    "phone": Column(type="string"),
    "zip": Column(type="string"),
    "ip": Column(type="string"),
    "born": Column(type="date"),
    "quantity": Column(type="int64"),
}
PEOPLE = [
    {"method": "suppress", "columns": ["name"]},
    {"method": "tokenize", "columns": ["email"]},
    {"method": "generalize", "columns": {"age": {"step": 10}}},
    {"method": "perturb", "columns": {"salary": {"relative": 0.05}}},
]
CASES: dict[str, list[dict[str, Any]]] = {
    "people": PEOPLE,
    "suppress": PEOPLE[:1],
    "tokenize": PEOPLE[1:2],
    "generalize_step": PEOPLE[2:3],
    "generalize_decade": [{"method": "generalize", "columns": {"born": {"unit": "decade"}}}],
    "generalize_keep_first": [{"method": "generalize", "columns": {"zip": {"keep_first": 2}}}],
    "generalize_network": [{"method": "generalize", "columns": {"ip": {"prefix": 24}}}],
    "perturb_uniform": PEOPLE[3:],
    "perturb_gaussian": [{"method": "perturb", "columns": {"salary": {"absolute": 9, "distribution": "gaussian"}}}],
    "perturb_integers": [{"method": "perturb", "columns": {"quantity": {"absolute": 3, "min": 0}}}],
    "mask": [{"method": "mask", "columns": {"phone": {"keep_last": 2}}}],
    "mask_email": [{"method": "mask", "columns": {"email": {"form": "email", "keep_first": 1}}}],
    "permute": [{"method": "permute", "columns": ["quantity"]}],
}


def people() -> pl.DataFrame:
    """A batch in which every e-mail address and phone number is another."""
    i = pl.int_range(ROWS)
    number = i.cast(pl.String)
    return pl.select(
        name=pl.format("Name {}", number),
        email=pl.format("user{}@example.org", number),
        age=i * 7919 % 100,
        salary=(i * 104_729 % 500_000) / 100,
        phone=pl.format("+4930{}", i + 1_000_000),
        zip=(i % 90_000 + 10_000).cast(pl.String),
        ip=pl.format("10.{}.{}.7", i // 256, i % 256),
        born=(i % 20_000).cast(pl.Int32).cast(pl.Date),
        quantity=i % 17,
        _id=i * 2_654_435_761,
    )


def rate(call: Callable[[], object]) -> int:
    """The median of three rounds, in records per second."""
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(ROUNDS):
            call()
        rates.append(ROUNDS * ROWS / (time.perf_counter() - start))
    return round(statistics.median(rates))


def main() -> None:
    found = discover(processors.anonymize, Anonymization)
    frame = people()
    hashes = frame["_id"].cast(pl.UInt64)
    figures = {"identities": rate(lambda: identities(hashes, "person", KEY))}
    for case, methods in CASES.items():
        compiled = compile_methods("person", COLUMNS, [Method(**raw) for raw in methods], found)
        figures[case] = rate(lambda compiled=compiled: compiled.apply(frame, KEY, window=False))
    print(json.dumps({"cores": os.cpu_count(), "records_per_second": figures}, indent=1))


if __name__ == "__main__":
    main()
