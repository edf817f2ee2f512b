"""Records per second of one core by each anonymization method, on columns of a million: python -m benchmarks.anonymize.

Counted is the processor's time, so that what else the machine does hardly shows; batches have 64k records, as in a run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

if __name__ == "__main__":
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one core, which polars has to know before it is loaded

import polars as pl

import processors.anonymize
from benchmarks.figures import Figure, Target
from processors.anonymize.identity import identities
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import compile_methods
from schemas.columns import ColumnType
from schemas.discovery import discover
from schemas.task.model import Column, Method

ROWS: Final = 1_000_000
BATCH: Final = 65_536
ROUNDS: Final = 3
REPEATED: Final = 2_000
SYLLABLES: Final = [
    "an", "be", "chris", "da", "el", "fran", "gre", "ha", "in", "jo", "ka", "lou", "mar", "ni", "ol", "pat", "ro",
    "stef", "tho", "wil",
]  # fmt: skip
KEY: Final = bytes(range(32))
TYPES: Final[dict[str, ColumnType]] = {
    "name": "string", "email": "string", "age": "int64", "salary": "float64", "phone": "string", "card": "string",
    "account": "string", "note": "string", "zip": "string", "ip": "string", "place": "string", "born": "date",
    "patient": "int64", "quantity": "int64", "status": "string", "contact": "string", "buyer": "string",
    "buyer_phone": "string",
}  # fmt: skip
Case = list[dict[str, Any]]
PEOPLE: Final[Case] = [
    {"method": "suppress", "columns": ["name"]},
    {"method": "tokenize", "columns": ["email"]},
    {"method": "generalize", "columns": {"age": {"step": 10}}},
    {"method": "perturb", "columns": {"salary": {"relative": 0.05}}},
]


def _one(method: str, **columns: Any) -> Case:
    return [{"method": method, "columns": columns}]


TOKENS: Final[dict[str, Case]] = {
    "tokenize": PEOPLE[1:2],
    "tokenize_card": [{"method": "tokenize", "columns": ["card"], "format": "preserving"}],
    "tokenize_email": [{"method": "tokenize", "columns": ["email"], "format": "preserving"}],
    "tokenize_email_many_forms": [{"method": "tokenize", "columns": ["contact"], "format": "preserving"}],
    "tokenize_email_repeated": [{"method": "tokenize", "columns": ["buyer"], "format": "preserving"}],
}
STEPS: Final[dict[str, Case]] = {
    "mask": _one("mask", phone={"keep_last": 2}),
    "mask_email": _one("mask", email={"form": "email", "keep_first": 1}),
    "mask_phone": _one("mask", phone={"form": "phone", "keep_last": 2}),
    "mask_phone_country": _one("mask", phone={"form": "phone", "keep_country": True, "keep_last": 2}),
    "mask_phone_country_written": _one("mask", buyer_phone={"form": "phone", "keep_country": True, "keep_last": 2}),
    "mask_card": _one("mask", card={"form": "card", "keep_last": 4}),
    "mask_account": _one("mask", account={"form": "iban", "keep_country": True}),
    "mask_pattern": _one("mask", note={"form": "pattern", "pattern": "[0-9]+", "length": 3}),
    "generalize_step": PEOPLE[2:3],
    "generalize_month": _one("generalize", born={"unit": "month"}),
    "generalize_decade": _one("generalize", born={"unit": "decade"}),
    "generalize_keep_first": _one("generalize", zip={"keep_first": 2}),
    "generalize_network": _one("generalize", ip={"prefix": 24}),
    "generalize_geohash": _one("generalize", place={"geohash": 4}),
    "generalize_hierarchy": _one("generalize", status={"rows": [["new", "open"], ["paid", "done"]], "level": 1}),
}
OTHERS: Final[dict[str, Case]] = {
    "people": PEOPLE,
    "suppress": PEOPLE[:1],
    "suppress_where": [{"method": "suppress", "columns": ["zip"], "where": "age > 90"}],
    "mask_email_domain": _one("mask", email={"form": "email", "keep_domain": True}),
    "replace_realistic": _one("replace_realistic", name={"kind": "name"}),
    "replace_distinct": _one("replace_realistic", email={"kind": "email", "distinct": True}),
    "redact": [{"method": "redact", "columns": ["note"]}],
    "redact_names": [{"method": "redact", "columns": ["note"], "find": ["email"], "values_of": ["name"]}],
    "perturb_uniform": PEOPLE[3:],
    "perturb_gaussian": _one("perturb", salary={"absolute": 9, "distribution": "gaussian"}),
    "perturb_integers": _one("perturb", quantity={"absolute": 3, "min": 0}),
    "shift": [{"method": "shift", "columns": ["born"], "subject": "patient"}],
    "swap": _one("swap", quantity=0.05),
    "randomize": _one("randomize", status={"retain": 0.8, "categories": ["new", "paid"]}),
    "permute": [{"method": "permute", "columns": ["quantity"]}],
    "permute_within": [{"method": "permute", "columns": ["quantity"], "within": ["status"]}],
}
CASES: Final = {**TOKENS, **STEPS, **OTHERS}


def people(rows: int) -> pl.DataFrame:
    """Records of which every e-mail address, phone number, card, address and place is another.

    `contact` are addresses of people, of many lengths and forms, few of them twice; those of `buyer` are REPEATED
    different ones, drawn again and again; the numbers of `buyer_phone` are written in several ways.
    """
    i = pl.int_range(rows)
    number = i.cast(pl.String)
    return pl.select(
        contact=_address(i * 2_654_435_761 // 7),
        buyer=_address(i * 7919 % REPEATED * 2_654_435_761),
        buyer_phone=pl.format("+{} {}-{}", _of([1, 44, 49, 420], i), i * 7919 % 900 + 100, i + 1_000_000),
        name=pl.format("Name {}", number),
        email=pl.format("user{}@example.org", number),
        age=i * 7919 % 100,
        salary=(i * 104_729 % 500_000) / 100,
        phone=pl.format("+4930{}", i + 1_000_000),
        card=pl.format("4111 11{} {} 1111", i // 9_000 % 90 + 10, i % 9_000 + 1_000),
        account=pl.format("DE{} 3704 0044 0532 {} 00", i % 80 + 10, i % 9_000 + 1_000),
        note=pl.format("called again about order {}, wants an answer", number),
        zip=(i % 90_000 + 10_000).cast(pl.String),
        ip=pl.format("10.{}.{}.7", i // 256 % 256, i % 256),
        place=pl.format("{}, {}", i % 18_000 / 100 - 90, i % 36_000 / 100 - 180),
        born=(i % 20_000).cast(pl.Int32).cast(pl.Date),
        patient=i // 4,
        quantity=i % 17,
        status=pl.when(i % 3 == 0).then(pl.lit("new")).otherwise(pl.lit("paid")),
        _id=i * 2_654_435_761,
    )


def _address(draw: pl.Expr) -> pl.Expr:
    """first.last42@shop.example in many lengths: syllables, a sign or none between, digits or none behind."""
    name = pl.concat_str(
        _of(SYLLABLES, draw),
        _of(SYLLABLES, draw // 20),
        _of(["", "", *SYLLABLES[:4]], draw // 400),
        _of([".", "_", "-", ""], draw // 2_400),
        _of(SYLLABLES, draw // 9_600),
        _of(SYLLABLES, draw // 192_000),
        _of(["", "", *SYLLABLES[5:9]], draw // 3_840_000),
        _of(["", "", "7", "19", "84", "2001"], draw // 23_040_000),
    )
    return pl.concat_str(
        name, pl.lit("@"), _of(SYLLABLES, draw // 31), _of(["mail.org", "shop.example", "co.net"], draw)
    )


def _of(entries: list[Any], draw: pl.Expr) -> pl.Expr:
    return pl.lit(pl.Series(entries)).gather(draw % len(entries))


def rates(call: Callable[[pl.DataFrame], object], batches: Sequence[pl.DataFrame], rounds: int) -> list[float]:
    """Records per second of the processor's time, of each round; a first batch is not counted."""
    rows = sum(batch.height for batch in batches)
    call(batches[0])
    found = []
    for _ in range(rounds):
        start = time.process_time()
        for batch in batches:
            call(batch)
        found.append(rows / max(time.process_time() - start, 1e-9))
    return found


def measured(rows: int = ROWS, rounds: int = ROUNDS) -> dict[str, Figure]:
    """A figure for each case."""
    found = discover(processors.anonymize, Anonymization)
    columns = {name: Column(type=kind) for name, kind in TYPES.items()}
    frame = people(rows)
    batches = [frame[start : start + BATCH] for start in range(0, rows, BATCH)]
    told = rates(lambda batch: identities(batch["_id"].cast(pl.UInt64), "person", KEY), batches, rounds)
    figures = {"identities": Figure("identities", "records/s of a core", told)}
    for case, methods in CASES.items():
        compiled = compile_methods("person", columns, [Method(**raw) for raw in methods], found)
        told = rates(partial(compiled.apply, key=KEY, window=False), batches, rounds)
        target = Target(">=", 3e6) if case in TOKENS else Target(">=", 5e6) if case in STEPS else None
        figures[case] = Figure(_what(methods, batches[0]), "records/s of a core", told, target)
    return figures


def _what(methods: Case, batch: pl.DataFrame) -> str:
    """The methods, and how many of a batch's values differ: where few do there is less to compute."""
    columns = dict.fromkeys(name for raw in methods for name in raw.get("columns", ()))
    distinct = ", ".join(f"{batch[name].n_unique() / batch.height:.1%}" for name in columns)
    return " and ".join(raw["method"] for raw in methods) + (f", distinct of a batch {distinct}" if distinct else "")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args(arguments)
    figures = {name: figure.document() for name, figure in measured(asked.rows, asked.rounds).items()}
    print(json.dumps({"cores": os.cpu_count(), "rows": asked.rows, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
