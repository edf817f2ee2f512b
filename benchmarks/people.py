"""People as two systems know them: `crm.csv` and `erp.csv` with every kind of trouble, of any size, by columns.

A record is a pure function of the seed, its number and its variant, so the same seed writes the same files. The
ERP knows the last part of the CRM's people again: half of those word for word, half differently. Within each
file some records stand twice, some of them with another salary. Memory is bounded by the chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

CHUNK = 500_000
OVERLAP = 0.2  # of the CRM's people are known to the ERP as well

FIRST = ["Ada", "José", "Jose\u0301", "Zoë", "Łukasz", "Nguyễn", "Александр", "محمد", "שרה", "李娜", "さくら", "O'Neil"]
LAST = [
    "Lovelace",
    "García",
    "Müller",
    "Smith-Jones",
    "Ørsted",
    "Çelik",
    "Иванова",
    "Okafor",
    "van der Berg",
    "St. John",
]
CITY = [
    "Oslo",
    "Zürich",
    "São Paulo",
    "Łódź",
    "東京",
    "Köln",
    "Ko\u0308ln",
    "القاهرة",
    "New York, NY",
    "Graz",
    "Bern",
    "Lyon",
]
DOMAIN = ["example.org", "mail.example.com", "corp.example.net", "example.edu"]
WORDS = [
    "contract",
    "renewed",
    "calls",
    "back",
    "in",
    "spring",
    "prefers",
    "letters",
    "left",
    "a",
    "message",
    "about",
    "the",
]
TRAPS = [
    'said "yes" twice',
    "first line\nsecond line",
    "first line\r\nsecond line",
    "comma, semicolon; tab\tend",
    "zero\u200bwidth\u200djoiner",
    "👩‍👩‍👧 family 🏳️‍🌈",
    "\u202eright to left\u202c",
    "e\u0301 and é",
    " leading and trailing ",
    '"',
    "'; DROP TABLE person; --",
    "=1+1",
    "NULL",
    "ﬁ ligature Å Å",
    "\\N and \\",
]


@dataclass(frozen=True)
class Trouble:
    """Shares of the records that have it. `unreadable` ones become dead letters."""

    again: float = 0.02  # a record word for word a second time
    differently: float = 0.01  # a second time with another salary
    unreadable: float = 0.002
    traps: float = 0.01


NONE = Trouble(0, 0, 0, 0)


def _mix(value: pl.Expr, salt: int) -> pl.Expr:
    """Sixty-four bits that look random, the same on every machine (splitmix64)."""
    z = value.cast(pl.UInt64) + pl.lit((salt * 0x9E3779B97F4A7C15) % 2**64, dtype=pl.UInt64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ (z // pl.lit(2**shift, dtype=pl.UInt64))) * pl.lit(factor, dtype=pl.UInt64)
    return z ^ (z // pl.lit(2**31, dtype=pl.UInt64))


def _pick(words: list[str], at: pl.Expr) -> pl.Expr:
    return pl.lit(pl.Series(words)).gather(at % len(words))


def _share(at: pl.Expr) -> pl.Expr:
    """A number in [0, 1)."""
    return (at % 1_000_003).cast(pl.Float64) / 1_000_003


def records(numbers: pl.DataFrame, seed: int, trouble: Trouble) -> pl.DataFrame:
    """The records with these `id`s and `variant`s, as text."""
    base = pl.col("id").cast(pl.UInt64) * 64 + pl.col("variant").cast(pl.UInt64)
    drawn = numbers.lazy().with_columns(
        *(_mix(base, seed * 32 + salt).alias(f"r{salt}") for salt in range(8)),
        _mix(pl.col("id"), seed * 32 + 9).alias("who"),
    )
    r = [pl.col(f"r{salt}") for salt in range(8)]
    first, last = _pick(FIRST, pl.col("who")), _pick(LAST, pl.col("who") // 64)
    email = pl.concat_str(
        pl.lit("p"), pl.col("id"), pl.lit("."), pl.col("who") % 100_000, pl.lit("@"), _pick(DOMAIN, r[0])
    )
    shape = r[1] % 10
    email = (
        pl.when(shape == 0).then(email.str.to_uppercase())
        .when(shape == 1).then(pl.concat_str(pl.lit("  "), email, pl.lit(" ")))
        .when(r[1] % 100 == 2).then(pl.lit(None, dtype=pl.String))
        .otherwise(email)
    )  # fmt: skip
    age = (r[2] % 100).cast(pl.Int64)
    age = (
        pl.when(r[2] // 128 % 50 == 0).then(age + 90)
        .when(r[2] // 128 % 50 == 1).then(-age)
        .when(r[2] // 128 % 50 == 2).then(pl.lit(None, dtype=pl.Int64))
        .otherwise(age)
    )  # fmt: skip
    cents = (1_000_000 + r[3] % 11_000_000).cast(pl.Int64)
    salary = (
        pl.when(r[3] // 2**32 % 40 == 0).then((cents % 1000).cast(pl.Float64) / 100)
        .when(r[3] // 2**32 % 40 == 1).then(pl.lit(None, dtype=pl.Float64))
        .otherwise(cents.cast(pl.Float64) / 100)
    )  # fmt: skip
    city = (
        pl.when(r[4] // 64 % 20 == 0).then(pl.lit(None, dtype=pl.String))
        .when(r[4] // 64 % 200 == 1).then(pl.lit("  "))
        .otherwise(_pick(CITY, r[4]))
    )  # fmt: skip
    note = pl.concat_str([_pick(WORDS, r[5] // 16**i) for i in range(7)] + [r[6] % 10**9], separator=" ")
    note = pl.when(_share(r[6]) < trouble.traps).then(_pick(TRAPS, r[7])).otherwise(note)
    bad = _share(r[7]) < trouble.unreadable
    return drawn.select(
        pl.col("id").cast(pl.String),
        pl.concat_str(first, last, separator=" ").alias("name"),
        email.alias("email"),
        pl.when(bad).then(pl.lit("unknown age")).otherwise(age.cast(pl.String)).alias("age"),
        salary.alias("salary"),
        city.alias("city"),
        note.alias("note"),
    ).collect()


def _numbers(first: int, count: int, seed: int, source: int, shared_from: int, trouble: Trouble) -> pl.DataFrame:
    """Which records stand at these places of a file: mostly the next, sometimes one of the chunk again."""
    at = pl.int_range(first, first + count, dtype=pl.Int64)
    frame = pl.select(at.alias("id")).with_columns(_mix(pl.col("id"), seed * 32 + 16 + source).alias("r"))
    back = pl.max_horizontal(pl.col("id") - 1 - (pl.col("r") // 2**20 % 5_000).cast(pl.Int64), pl.lit(first))
    again = _share(pl.col("r")) < trouble.again + trouble.differently
    other = _share(pl.col("r")) < trouble.differently
    known = pl.when(again).then(back).otherwise(pl.col("id"))
    own = pl.lit(0) if source == 0 else pl.when(known < shared_from).then(_mix(known, seed) % 2).otherwise(0)
    variant = own.cast(pl.Int64) + pl.when(other).then(2 + (pl.col("r") // 2**40 % 2).cast(pl.Int64)).otherwise(0)
    return frame.select(known.alias("id"), variant.alias("variant"))


def chunks(source: int, total: int, seed: int, trouble: Trouble, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """The records of a source (0 is the CRM, 1 the ERP) when both together hold `total`, in a shuffled order."""
    crm = total * 55 // 100
    shared_from = crm - int(crm * OVERLAP)
    first, last = (0, crm) if source == 0 else (shared_from, shared_from + total - crm)
    for start in range(first, last, rows):
        numbers = _numbers(start, min(rows, last - start), seed, source, crm, trouble)
        yield records(numbers.sample(fraction=1.0, shuffle=True, seed=seed + start), seed, trouble)


def write(folder: Path, total: int, seed: int = 1, trouble: Trouble | None = None, mixed_ends: bool = False) -> int:
    """Writes both files; answers how many bytes. With `mixed_ends` every other chunk ends its lines by CRLF."""
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    rows = max(1, min(CHUNK, total // 8)) if mixed_ends else CHUNK
    for source, name in enumerate(("crm.csv", "erp.csv")):
        with (folder / name).open("wb") as file:
            for n, chunk in enumerate(chunks(source, total, seed, trouble or Trouble(), rows)):
                end = "\r\n" if mixed_ends and n % 2 else "\n"
                chunk.write_csv(file, include_header=n == 0, line_terminator=end)
            written += file.tell()
    return written
