"""The shop's data: customers in JSON lines and CSV, products as rows, orders as Parquet; with dangling references,
duplicates and conflicts. Small enough for plain Python: it feeds tests and the example, not the benchmarks.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
NAMES = ["Ada Lovelace", "José García", "Zoë Müller", "李娜", "Олена Коваль", "O'Neil, Pat", "שרה כהן", "Anna 👩‍🔬"]
CITIES = ["Oslo", "Graz", "Lyon", "Köln", "", "Porto", None]
FILES = 3


def customers(count: int, draw: random.Random) -> tuple[list[Row], list[Row]]:
    """What the base system and the other one know: a tenth in both, half of those in conflict."""
    base = [_customer(n, draw) for n in range(1, count + 1)]
    more = []
    for row in draw.sample(base, count // 10):
        more.append(dict(row) if draw.random() < 0.5 else {**row, "city": "Elsewhere"})
    more += [_customer(n, draw) for n in range(count + 1, count + count // 5)]
    base += draw.sample(base, count // 50)
    return base, more


def _customer(number: int, draw: random.Random) -> Row:
    sex = draw.choice(["f", "m", " F ", "M", "x"]) if draw.random() > 0.02 else draw.choice(["", " ", None])
    age = draw.randint(18, 95) if draw.random() > 0.02 else draw.choice([-1, 121, 400, None])
    phone = f"+{draw.randint(10**9, 10**11)}" if draw.random() > 0.05 else None
    return {
        "id": number,
        "name": draw.choice(NAMES),
        "sex": sex,
        "age": age,
        "city": draw.choice(CITIES),
        "phone": phone,
    }


def products(count: int, draw: random.Random) -> list[Row]:
    return [
        {
            "sku": f"SKU-{n:04}",
            "title": draw.choice(["Lamp", "Täble", "Chair, oak", 'Desk 60"']),
            "price": Decimal(draw.randint(-200, 50_000)).scaleb(-2),
        }
        for n in range(count)
    ]


def orders(count: int, n_customers: int, n_products: int, draw: random.Random) -> list[Row]:
    """A few for nobody and nothing, some twice, some of them in two versions."""
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    rows = [
        {
            "id": n,
            "customer_id": draw.randint(1, int(n_customers * 1.25)) if draw.random() > 0.01 else None,
            "sku": f"SKU-{draw.randrange(int(n_products * 1.05) + 1):04}",
            "quantity": draw.randint(1, 40) if draw.random() > 0.02 else draw.choice([0, -3, 1001, None]),
            "at": start + dt.timedelta(microseconds=draw.randrange(30 * 86_400 * 10**6)),
        }
        for n in range(1, count + 1)
    ]
    twice = draw.sample(rows, count // 25)
    rows += twice[::2] + [{**row, "quantity": 7} for row in twice[1::2]]
    draw.shuffle(rows)
    return rows


def write_orders(folder: Path, rows: list[Row]) -> list[Path]:
    """The orders as a few Parquet files, which an object store then holds below `orders/`."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema(
        {
            "id": pa.int64(),
            "customer_id": pa.int64(),
            "sku": pa.string(),
            "quantity": pa.int64(),
            "at": pa.timestamp("us", tz="UTC"),
        }
    )
    paths = []
    for n in range(FILES):
        paths.append(folder / f"part-{n}.parquet")
        pq.write_table(pa.Table.from_pylist(rows[n::FILES], schema=schema), paths[-1], row_group_size=1000)
    return paths


def write(folder: Path, count: int, seed: int = 1) -> int:
    """`customers.jsonl`, `customers_more.csv`, `products.jsonl` (for a database) and `orders/*.parquet`."""
    draw = random.Random(seed)
    n_customers, n_products = max(20, count // 10), max(10, count // 100)
    base, more = customers(n_customers, draw)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "customers.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in base))
    with (folder / "customers_more.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(more[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(more)
    rows = products(n_products, draw)
    (folder / "products.jsonl").write_text(
        "".join(json.dumps({**row, "price": str(row["price"])}, ensure_ascii=False) + "\n" for row in rows)
    )
    write_orders(folder / "orders", orders(count, n_customers, n_products, draw))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
