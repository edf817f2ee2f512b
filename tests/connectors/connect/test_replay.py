"""A record that was sent again, as the replay lane reads it."""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl
import pytest

from connectors.connect.replay import _placed, _typed
from connectors.sources.formats.rejected import Reject, frame_of
from connectors.sources.formats.texts import TextOptions
from schemas.task.model import Changes, Column, Source

KINDS = {
    "id": "int64",
    "price": "decimal",
    "share": "float64",
    "ok": "bool",
    "at": "timestamp",
    "day": "date",
    "raw": "binary",
    "doc": "json",
    "name": "string",
}
SCALED = {"price": {"scale": 2}}
COLUMNS = {name: Column.model_validate({"type": kind} | SCALED.get(name, {})) for name, kind in KINDS.items()}
TEXTS = {
    "id": "7",
    "price": "1.50",
    "share": "0.1",
    "ok": "true",
    "at": "2024-02-29T01:02:03.000004+00:00",
    "day": "2024-02-29",
    "raw": "AP8=",
    "doc": '{"a":1.50}',
    "name": " é",
}


def typed(record: dict[str, Any], change: int = 0, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    source = Source.model_validate({"connector": "x", **options})
    return _typed(record, COLUMNS, 3, change, TextOptions.told(source.options))


def test_what_was_kept_is_read_as_what_was_there() -> None:
    first, _ = typed(TEXTS)
    values = first.row(0, named=True)
    kept = frame_of([Reject(1, "id", "is wrong", b"", {name: values[name] for name in COLUMNS})])["_record"][0]
    again, rejects = typed(orjson.loads(kept))
    assert again.rows() == first.rows()
    assert rejects.height == 0
    assert again["_line"].to_list() == [3]


def test_what_is_still_wrong_is_rejected_with_its_record_and_place() -> None:
    frame, rejects = typed(TEXTS | {"id": "x", "gone": 1}, change=70)
    assert frame.height == 0
    row = rejects.row(0, named=True)
    assert (row["_line"], row["_column"], row["_reason"], row["_pos"]) == (3, "id", "is not an int64", 70)
    assert orjson.loads(row["_record"]) == TEXTS | {"id": "x"}


@pytest.mark.parametrize("options", [{"allow_nan": True}, {"format": "csv", "options": {"allow_nan": True}}])
def test_no_number_is_one_where_the_source_says_so(options: dict[str, Any]) -> None:
    record = TEXTS | {"share": "nan"}
    assert typed(record, **options)[0]["share"].is_nan().all()
    assert typed(record)[1]["_column"].to_list() == ["share"]


@pytest.mark.parametrize("nested", [False, True])
def test_days_and_times_are_read_in_the_formats_of_the_source(nested: bool) -> None:
    record = TEXTS | {"day": "29.02.2024", "at": "29.02.2024 01:02"}
    formats = {"date_formats": ["%d.%m.%Y"], "timestamp_formats": ["%d.%m.%Y %H:%M"]}
    frame, rejects = typed(record, **({"options": formats} if nested else formats))
    assert rejects.height == 0
    assert frame["day"].equals(typed(TEXTS)[0]["day"])
    assert frame["at"].dt.truncate("1m").equals(typed(TEXTS)[0]["at"].dt.truncate("1m"))
    assert typed(TEXTS, **formats)[0].equals(typed(TEXTS)[0])  # a value that was read before is told in ISO 8601
    assert typed(record)[1].height == 1


def test_a_correction_stands_where_the_record_stood() -> None:
    frame, _ = typed(TEXTS)
    assert _placed(frame, Changes(), 70).select("_pos", "_op").row(0) == (70, 0)
    assert _placed(frame, Changes(order_by="id"), 70).select("_pos", "_op").row(0) == (7, 0)
    assert _placed(frame, Changes(order_by="seq"), 70).select("_pos", "_op").row(0) == (70, 0)
    gone = Changes.model_validate({"delete": {"column": "ok", "equals": "true"}})
    assert _placed(frame, gone, 70).select("_pos", "_op").row(0) == (70, 1)
