"""Where a block of delimited text, or the file, begins or ends: no value and no reject depends on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sources.contract import Chunk, Context
from connectors.sources.csv import Csv
from schemas.task.model import Column

INT = Column(type="int64")
TEXT = Column(type="string")
TWO = {"a": INT, "b": TEXT}


def read(folder: Path, content: str, columns: dict[str, Column] = TWO, **options: Any) -> list[Chunk]:
    (folder / "x.csv").write_bytes(content.encode())
    limits = {key: options.pop(key) for key in ("chunk_rows", "chunk_bytes") if key in options}
    source = Csv.open(Csv.Config(path="x.csv", **options), columns, Context(base=folder, **limits))
    return [chunk for split in source.splits() for chunk in source.read(split, None)]


def rows(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.frame.rows()]


def rejects(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.rejects.rows()]


FIELD = st.sampled_from(["", "", '""', "1", '"1"', "x", '"x,\n"', "\ufeff", "\ufeffx", '\ufeff"x"', '"\ufeff"', '"x"y'])
LINES = st.lists(st.lists(FIELD, min_size=1, max_size=3).map(",".join), max_size=8)


@settings(max_examples=120, deadline=None)
@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["int64", "string"]), st.booleans())
def test_neither_the_cut_nor_a_last_line_end_matters(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, kind: Any, mark: bool
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    columns = {"a": Column(type=kind), "b": TEXT}
    text = "\ufeff" * mark + "a,b" + "".join(end + line for line in lines)
    whole = read(folder, text + end, columns)
    for content in (text, text + end):
        for chunk_bytes, chunk_rows in ((4, 100), (30, 2), (1 << 20, 1), (1 << 20, 3)):
            cut = read(folder, content, columns, chunk_bytes=chunk_bytes, chunk_rows=chunk_rows)
            assert rows(cut) == rows(whole)
            assert rejects(cut) == rejects(whole)


@pytest.mark.parametrize("chunk_bytes", [1, 9, 1 << 20])
def test_a_byte_order_mark_is_one_where_the_file_begins_alone(tmp_path: Path, chunk_bytes: int) -> None:
    content = "\ufeffa,b\n\ufeffx,1\ny,2\n\ufeff\ufeffz,3\n\ufeff\n"
    chunks = read(tmp_path, content, {"a": TEXT, "b": TEXT}, chunk_bytes=chunk_bytes)
    assert rows(chunks) == [("\ufeffx", "1", 2), ("y", "2", 3), ("\ufeff\ufeffz", "3", 4)]
    assert [row[:3] for row in rejects(chunks)] == [(5, None, "the record has 1 fields, not 2")]
    chunks = read(tmp_path, content, {"a": INT, "b": TEXT}, chunk_bytes=chunk_bytes)
    assert [(row[0], row[1], json.loads(row[4])["a"]) for row in rejects(chunks)[:1]] == [(2, "a", "\ufeffx")]


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("chunk_rows", [1, 9])
def test_nothing_but_a_byte_order_mark_in_a_record(tmp_path: Path, end: str, chunk_rows: int) -> None:
    one = {"a": TEXT}
    assert rows(read(tmp_path, f"a\nx\n\ufeff{end}", one, chunk_rows=chunk_rows)) == [("x", 2), ("\ufeff", 3)]
    assert rows(read(tmp_path, f"\ufeff\ufeff{end}", one, header=False)) == [("\ufeff", 1)]
    assert rows(read(tmp_path, f"\ufeff{end}", one, header=False)) == []
    assert [row[:3] for row in rejects(read(tmp_path, f"a,b\n1,2\n\ufeff{end}", chunk_rows=chunk_rows))] == [
        (3, None, "the record has 1 fields, not 2")
    ]


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("null_values", [[""], ["", "NULL"]])  # which are cut quickly, and exactly
def test_the_last_empty_value_is_null_unless_it_is_quoted(tmp_path: Path, end: str, null_values: list[str]) -> None:
    three = {"a": INT, "b": TEXT, "c": TEXT}

    def found(content: str, columns: dict[str, Column] = TWO, **options: Any) -> list[tuple[Any, ...]]:
        return rows(read(tmp_path, content + end, columns, null_values=null_values, **options))

    assert found('a,b\n"1",') == [(1, None, 2)]
    assert found('a,b\n"1",""') == [(1, "", 2)]
    assert found("a,b\n1,x\n2,", chunk_rows=1) == [(1, "x", 2), (2, None, 3)]
    assert found('a,b,c\n1,"",', three) == [(1, "", None, 2)]
    assert found("1;'x';", three, header=False, delimiter=";", quote="'") == [(1, "x", None, 1)]
    assert found('a\n""', {"a": TEXT}) == [("", 2)]
    assert found('""', {"a": TEXT}, header=False) == [("", 1)]
