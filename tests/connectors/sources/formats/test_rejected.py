"""What is kept of a record that could not be read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.sources.contract import RAW_BYTES
from connectors.sources.formats.json_record import RecordReader
from connectors.sources.formats.rejected import Reject, frame_of
from schemas.task.model import Column


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        ("é", "é"),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        (0.1, 0.1),
        (float("-inf"), "-inf"),
        (Decimal("1.50"), "1.50"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC), "2024-02-29T01:02:03.000004+00:00"),
        (b"\x00\xff", "AP8="),
        ([1, {"a": None}], '[1,{"a":null}]'),
    ],
)
def test_values_are_kept_without_loss(value: object, kept: object) -> None:
    row = frame_of([Reject(1, "c", "is wrong", b"raw", {"c": value}, 5)]).row(0, named=True)
    assert json.loads(row["_record"]) == {"c": kept}
    assert (row["_raw"], row["_pos"]) == (None, 5)


@pytest.mark.parametrize("record", [None, {"c": "x" * RAW_BYTES}, {"c": "\ud800"}])
def test_what_cannot_be_kept_whole_is_kept_as_text(record: dict[str, Any] | None) -> None:
    row = frame_of([Reject(1, "c", "is wrong", b"raw\0", record)]).row(0, named=True)
    assert (row["_raw"], row["_record"]) == ("raw␀", None)


def test_rejects_are_in_order_of_lines() -> None:
    found = frame_of([Reject(9, None, "b", b""), Reject(2, "c", "a", b"", {"c": 1})])
    assert found["_line"].to_list() == [2, 9]


def test_json_is_kept_digit_for_digit() -> None:
    kinds = {"i": "int64", "d": "decimal", "s": "string", "j": "json", "n": "string"}
    reader = RecordReader({name: Column.model_validate({"type": kind}) for name, kind in kinds.items()}, ())
    record = b'{"i": 41, "d": 12345678901234567890.10, "s": [1.50], "j": {"a": 1.50}, "n": null, "else": 1}'
    assert reader.told(record) == {
        "i": 41,
        "d": "12345678901234567890.10",
        "s": "[1.50]",
        "j": '{"a":1.50}',
        "n": None,
    }
    assert reader.told(b'{"i": 1, "i": 2}') is None
    assert reader.told(b'{"else": 1, "else": 2}') == {}
    assert reader.told(b"[1]") is None
