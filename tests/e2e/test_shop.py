"""The contract's shop: files, a database and an object store; three strategies, references, a derived table."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psycopg
import pyarrow.parquet as pq
import pytest

from benchmarks import shop
from deploy import stack
from tests.faults.rig import REPOSITORY, Rig
from tests.oracle import prepare
from tests.oracle.prepare import load_task

pytestmark = pytest.mark.stack


def _serve(rig: Rig, data: Path) -> dict[str, str]:
    """Products into a database, orders into a bucket; answers what the task's environment names."""
    url = urlsplit(rig.ends.postgres.url)._replace(path="/shop").geturl()
    with psycopg.connect(rig.ends.postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE shop")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE product (sku text PRIMARY KEY, title text, price numeric(12, 2))")
        with connection.cursor().copy("COPY product FROM STDIN") as copy:
            for line in (data / "products.jsonl").read_text().splitlines():
                row = json.loads(line)
                copy.write_row((row["sku"], row["title"], Decimal(row["price"])))
    store = stack.ensure("s3", rig.home)
    client = boto3.client("s3", **store.boto3())
    client.create_bucket(Bucket="lake")
    for path in sorted((data / "orders").iterdir()):
        client.upload_file(str(path), "lake", f"orders/{path.name}")
    return {
        "SHOP_DB_URL": url,
        "SHOP_S3_URL": store.endpoint,
        "SHOP_S3_KEY": store.key,
        "SHOP_S3_SECRET": store.secret,
    }


def test_the_shop(rig: Rig, tmp_path: Path) -> None:
    shop.write(tmp_path / "data", 20_000, seed=6)
    path = tmp_path / "shop.task.yaml"
    path.write_text((REPOSITORY / "examples" / "shop" / "shop.task.yaml").read_text())
    secrets = _serve(rig, tmp_path / "data")
    products = [json.loads(line) for line in (tmp_path / "data" / "products.jsonl").read_text().splitlines()]
    orders = [
        row for part in sorted((tmp_path / "data" / "orders").iterdir()) for row in pq.read_table(part).to_pylist()
    ]
    oracle = prepare(load_task(path), tmp_path, {"product/catalogue": products, "order/lake": orders})
    run = rig.start(path, secrets)
    rig.wait(run)
    rig.check(run, oracle)
    assert len(rig.rows(run, "revenue")) > 50
