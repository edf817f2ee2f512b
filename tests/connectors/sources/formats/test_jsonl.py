"""JSON lines against a plain reading by Python's json module, record by record."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sources.contract import Chunk, Context
from connectors.sources.formats import json_rows
from connectors.sources.jsonl import Jsonl
from schemas.task.model import Changes, Column

COLUMNS = {
    "i": Column(type="int64"),
    "f": Column(type="float64"),
    "s": Column(type="string"),
    "b": Column(type="bool"),
    "d": Column(type="decimal", scale=2),
}


def read(folder: Path, content: bytes | str, columns: dict[str, Column] | None = None, **options: Any) -> list[Chunk]:
    (folder / "x.jsonl").write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    names = ("chunk_rows", "chunk_bytes", "follow", "changes", "rename")
    context = Context(base=folder, **{key: options.pop(key) for key in names if key in options})
    source = Jsonl.open(Jsonl.Config(path="x.jsonl", **options), columns or COLUMNS, context)
    return [chunk for split in source.splits() for chunk in source.read(split, None)]


def rows(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.frame.rows()]


def rejects(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.rejects.rows()]


def refuse(_: str) -> float:
    raise ValueError("no JSON")


def marked(pairs: list[tuple[str, Any]]) -> tuple[str, list[tuple[str, Any]]]:
    return "object", pairs


def fits(name: str, value: Any) -> bool:
    """Whether a value parsed by json (numbers as int or Decimal) is of the column's type."""
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    match name:
        case "i":
            return number and value == int(value) and -(2**63) <= value < 2**63
        case "f":
            return number and math.isfinite(float(value))
        case "s":
            return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value) and "\0" not in value
        case "b":
            return isinstance(value, bool)
        case _:
            return number and abs(value) < 10**36 and value == round(Decimal(value), 2)


def oracle(text: str) -> tuple[list[tuple[Any, ...]], list[int]]:
    good, bad = [], []
    for at, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.strip(" \t\r"):
            continue
        try:
            pairs = json.loads(line, parse_float=Decimal, parse_constant=refuse, object_pairs_hook=marked)
        except ValueError:
            pairs = None
        found = [(k, v) for k, v in pairs[1] if k in COLUMNS] if isinstance(pairs, tuple) else None
        record = dict(found or ())
        if found is None or len(record) != len(found) or not all(v is None or fits(k, v) for k, v in found):
            bad.append(at)
            continue
        if record.get("f") is not None:
            record["f"] = float(record["f"])
        good.append((*(record.get(name) for name in COLUMNS), at))
    return good, bad


NUMBERS = "1 -0 1.0 1.5 1e2 9223372036854775807 9223372036854775808 1e999 1.005 12345678901234567.25 NaN Infinity 01"
OTHERS = '"x" "é\\n" "\\ud800" "\\u0000" "a,Inf" null true tru {"i":1} [1]'
TOKENS = st.sampled_from([*NUMBERS.split(), *OTHERS.split(), '"a, Inf"'])
FIELDS = st.lists(st.tuples(st.sampled_from("ifsbdxxyz"), TOKENS), max_size=4)
OBJECTS = FIELDS.map(lambda fields: "{" + ", ".join(f'"{name}": {token}' for name, token in fields) + "}")
LINES = st.one_of(
    OBJECTS,
    OBJECTS,
    OBJECTS,
    st.sampled_from(["", " ", "[]", "5", "{}{}", '{"i":', "1}", "{} ", "\t{}\r"]),
    st.sampled_from(["\ufeff", '\ufeff{"i": 1}', '{"s": "\ufeff"}']),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(LINES, max_size=12).map("\n".join), st.sampled_from([5, 1 << 20]), st.sampled_from([1, 3]), st.booleans()
)
def test_equals_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk_bytes: int, chunk_rows: int, ended: bool
) -> None:
    content = text + "\n" * ended
    chunks = read(tmp_path_factory.mktemp("jsonl"), content, chunk_bytes=chunk_bytes, chunk_rows=chunk_rows)
    good, bad = oracle(text)
    assert rows(chunks) == good
    assert [row[0] for row in rejects(chunks)] == bad


@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_a_record_fares_the_same_alone_and_among_others(tmp_path_factory: pytest.TempPathFactory, record: str) -> None:
    """With good neighbours, Arrow reads it with them; with a bad one, it is read by itself."""
    folder = tmp_path_factory.mktemp("jsonl")
    among = read(folder, f'{{"i": 7}}\n{record}\n{{"s": "z"}}')
    alone = read(folder, f'{{"i": "bad"}}\n{record}\n{{"s": "z"}}')
    assert [row for row in rows(among) if row[-1] == 2] == [row for row in rows(alone) if row[-1] == 2]
    assert [row for row in rejects(among) if row[0] == 2] == [row for row in rejects(alone) if row[0] == 2]


def test_a_bad_record_among_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("BLOCK", 100), ("PIECE", 4), ("NEAR", 2)):
        monkeypatch.setattr(json_rows, name, size)
    lines = [json.dumps({"i": n, "s": f"text {n}"}) for n in range(1000)]
    lines[777] = '{"i": "777"}'
    chunks = read(tmp_path, "\n".join(lines))
    assert [row[0] for row in rows(chunks)] == [n for n in range(1000) if n != 777]
    expected = dict.fromkeys(COLUMNS) | {"i": "777"}
    assert rejects(chunks) == [(778, "i", "is not an int64", None, json.dumps(expected, separators=(",", ":")), None)]


@pytest.mark.parametrize("opening", ["[", '{"x":'])
def test_nested_beyond_measure(tmp_path: Path, opening: str) -> None:
    content = "\n".join(['{"i":1}', opening * 100_000, '{"s":' + opening * 100_000, '{"i":2}'])
    chunks = read(tmp_path, content)
    assert [row[0] for row in rows(chunks)] == [1, 2]
    assert [row[:3] for row in rejects(chunks)] == [
        (line, None, "the record is nested more than 200 deep") for line in (2, 3)
    ]


def test_json_columns_keep_what_is_written(tmp_path: Path) -> None:
    content = '{"j": {"a": 1.10, "a": [12345678901234567890123, "é", null, true]}}\n{"j": "\\ud800"}\n{}'
    chunks = read(tmp_path, content, {"j": Column(type="json")})
    assert rows(chunks) == [('{"a":1.10,"a":[12345678901234567890123,"é",null,true]}', 1), (None, 3)]
    assert rejects(chunks)[0][:3] == (2, "j", "is not a json")


def test_times_and_bytes_are_strings(tmp_path: Path) -> None:
    columns = {"t": Column(type="timestamp"), "y": Column(type="date"), "n": Column(type="binary")}
    content = '{"t":"2024-01-01T00:00:00Z","y":"2024-01-01","n":"aGk="}\n{"t":5}\n{"y":"01.02.2024"}\n{"n":"?"}'
    chunks = read(tmp_path, content, columns)
    assert rows(chunks)[0][2] == b"hi"
    assert [row[:2] for row in rejects(chunks)] == [(2, "t"), (3, "y"), (4, "n")]


def test_a_long_record_is_rejected_without_being_held(tmp_path: Path) -> None:
    content = '{"i":1}\n{"s":"' + "y" * 300_000 + '"}\n{"i":2}\n'
    for chunk_bytes in (1000, 1 << 20):
        chunks = read(tmp_path, content, max_record_bytes=5000, chunk_bytes=chunk_bytes)
        assert [row[0] for row in rows(chunks)] == [1, 2]
        assert rejects(chunks)[0][:3] == (2, None, "the record is longer than 5000 bytes")
    assert len(rejects(chunks)[0][3]) < 70_000


@pytest.mark.parametrize("mark", ['"D"', "true", "1"])
def test_deletions_and_the_order_of_changes(tmp_path: Path, mark: str) -> None:
    changes = Changes.model_validate({"delete": {"column": "gone", "equals": mark.strip('"')}, "order_by": "i"})
    chunks = read(tmp_path, f'{{"i":5,"gone":{mark}}}\n{{"i":4}}\n{{"s":"no order"}}', changes=changes)
    frame = chunks[0].frame
    assert frame.select("_pos", "_op").rows() == [(5, 1), (4, 0)]
    assert rejects(chunks)[0][:2] == (3, "i")


def test_renamed_columns(tmp_path: Path) -> None:
    chunks = read(tmp_path, '{"Id": 5, "other": 1}', {"i": COLUMNS["i"]}, rename={"Id": "i"})
    assert rows(chunks) == [(5, 1)]


def test_a_followed_file_keeps_an_unfinished_line_for_later(tmp_path: Path) -> None:
    source = Jsonl.open(Jsonl.Config(path="x.jsonl"), COLUMNS, Context(base=tmp_path, follow=True))
    file = tmp_path / "x.jsonl"
    file.write_text('{"i":1}\n{"i":')
    (split,) = source.splits()
    (first,) = source.read(split, None)
    assert first.frame["i"].to_list() == [1]
    assert first.at_end
    assert list(source.read(split, first.position)) == []
    file.write_text('{"i":1}\n{"i":2}\n')
    (second,) = source.read(split, first.position)
    assert second.frame["i"].to_list() == [2]
