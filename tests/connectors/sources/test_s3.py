"""Objects of a real S3 server in every format."""

from __future__ import annotations

import gzip
import io
import uuid
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sources.contract import Context
from connectors.sources.s3 import S3
from deploy import stack as embedded
from deploy.stack import Endpoints
from schemas.errors import Fatal, InvalidInput, Retriable
from schemas.task.model import Changes, Column

pytestmark = pytest.mark.stack

COLUMNS = {"id": Column(type="int64"), "name": Column(type="string")}
NUMBERS = list(range(3000))


@pytest.fixture(scope="module")
def lake(stack: Endpoints, stack_home: Path) -> dict[str, Any]:
    """A connection to a bucket of the session's stack."""
    embedded.up(stack_home, {"s3"})
    store = embedded.endpoints(stack_home).s3
    assert store is not None
    bucket = f"b{uuid.uuid4().hex}"
    boto3.client("s3", **store.boto3()).create_bucket(Bucket=bucket)
    return {"bucket": bucket, "endpoint": store.endpoint, "key": store.key, "secret": store.secret}


def put(lake: dict[str, Any], key: str, body: bytes) -> None:
    names = {"endpoint_url": "endpoint", "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", region_name="us-east-1", **{name: lake[ours] for name, ours in names.items()})
    client.put_object(Bucket=lake["bucket"], Key=key, Body=body)


def source(lake: dict[str, Any], context: dict[str, Any] | None = None, **options: Any) -> Any:
    told = {"base": Path(), "connection": lake, "chunk_rows": 700, "chunk_bytes": 5000} | (context or {})
    return S3.open(S3.Config(**options), COLUMNS, Context(**told))


def content(kind: str) -> bytes:
    if kind == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.table({"id": NUMBERS, "name": [f"n{n}" for n in NUMBERS]}), file)
        return file.getvalue()
    if kind == "csv":
        return ("id,name,more\n" + "".join(f"{n},n{n},\n" for n in NUMBERS)).encode()
    return "".join(f'{{"id":{n},"name":"n{n}","more":1}}\n' for n in NUMBERS).encode()


@pytest.mark.parametrize(
    ("kind", "packed"), [("csv", False), ("csv", True), ("jsonl", False), ("jsonl", True), ("parquet", False)]
)
def test_every_format_and_every_position(lake: dict[str, Any], kind: str, packed: bool) -> None:
    prefix = f"{kind}{packed}/"
    body = content(kind)
    put(lake, f"{prefix}x.{kind}{'.gz' if packed else ''}", gzip.compress(body) if packed else body)
    put(lake, f"{prefix}other", b"not taken")
    opened = source(lake, prefix=prefix, format=kind, glob="x*")
    (split,) = opened.splits()
    chunks = list(opened.read(split, None))
    assert [row for chunk in chunks for row in chunk.frame["id"]] == NUMBERS
    assert len(chunks) > 3
    rest = list(source(lake, prefix=prefix, format=kind).read(split, chunks[1].position))
    assert [one.frame.rows() for one in rest] == [one.frame.rows() for one in chunks[2:]]
    assert opened.unknown_columns == (set() if kind == "parquet" else {"more"})


def test_a_changed_object_is_noticed(lake: dict[str, Any]) -> None:
    put(lake, "changed/x.jsonl", content("jsonl"))
    opened = source(lake, prefix="changed/", format="jsonl")
    (split,) = opened.splits()
    reading = opened.read(split, None)
    first = next(reading)
    put(lake, "changed/x.jsonl", b'{"id":1}\n')
    with pytest.raises(Fatal, match=r"changed/x\.jsonl changed since"):
        list(reading)
    (listed,) = opened.splits()
    with pytest.raises(Fatal, match=r"changed/x\.jsonl changed since"):
        list(opened.read(listed, first.position))


def test_options_of_the_format(lake: dict[str, Any]) -> None:
    put(lake, "options/x", b"1;a\n")
    options = {"delimiter": ";", "header": False}
    opened = source(lake, prefix="options/", format="csv", options=options)
    assert [c.frame.rows() for s in opened.splits() for c in opened.read(s, None)] == [[(1, "a", 1)]]
    with pytest.raises(ValueError, match="delimiter"):
        S3.Config(format="csv", options={"delimiter": "long"})


def test_the_order_of_objects_is_the_order_of_changes(lake: dict[str, Any]) -> None:
    put(lake, "order/b", b'{"id":1}\n')
    opened = source(lake, {"changes": Changes()}, prefix="order/", format="jsonl")
    opened.splits()
    put(lake, "order/a", b'{"id":1}\n')
    with pytest.raises(InvalidInput, match="sort behind"):
        opened.splits()


def test_what_is_not_there(lake: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no object begins with 'none/'"):
        source(lake, prefix="none/", format="csv").splits()
    with pytest.raises(Fatal, match=r"bucket none cannot be read: .*NoSuchBucket"):
        source(lake, bucket="none", format="csv").splits()
    with pytest.raises(InvalidInput, match="no bucket is named"):
        source({}, format="csv")


def test_a_wrong_secret_is_not_shown(lake: dict[str, Any]) -> None:
    with pytest.raises(Fatal) as caught:
        source(lake | {"secret": "planted"}, format="csv").splits()
    assert "planted" not in str(caught.value)


def test_a_store_that_does_not_answer(lake: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(Retriable):
        source(lake | {"endpoint": "http://127.0.0.1:1"}, format="csv").splits()
