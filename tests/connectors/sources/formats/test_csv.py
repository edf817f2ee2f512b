"""Delimited text against a plain reading by Python's csv module, record by record."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sources.contract import Chunk, Context
from connectors.sources.csv import Csv
from schemas.errors import Fatal, InvalidInput
from schemas.task.model import Column

INT = Column(type="int64")
TEXT = Column(type="string")
TWO = {"a": INT, "b": TEXT}


def read(folder: Path, content: bytes | str, columns: dict[str, Column] | None = None, **options: Any) -> list[Chunk]:
    data = content.encode() if isinstance(content, str) else content
    (folder / "x.csv").write_bytes(data)
    limits = {key: options.pop(key) for key in ("chunk_rows", "chunk_bytes", "follow") if key in options}
    context = Context(base=folder, **limits)
    source = Csv.open(Csv.Config(path="x.csv", **options), columns or TWO, context)
    return [chunk for split in source.splits() for chunk in source.read(split, None)]


def rows(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.frame.rows()]


def rejects(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    return [row for chunk in chunks for row in chunk.rejects.rows()]


def oracle(text: str) -> tuple[list[tuple[int | None, str | None, int]], list[int]]:
    """Rows (a, b, line) and the lines of rejects, for a headless file of an int64 and a string."""
    text = text.removeprefix("\ufeff")
    lines = [line for line in re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z", text) if line]
    good, bad, at = [], [], 0
    while at < len(lines):
        reader = csv.reader(iter(lines[at:]), strict=True)
        try:
            fields = next(reader)
        except csv.Error:
            bad.append(at + 1)
            at += 1
            continue
        number = fields[0].strip(" \t") if fields else ""
        if fields and (len(fields) != 2 or not re.fullmatch(r"([+-]?[0-9]+(\.0*)?)?", number)):
            bad.append(at + 1)
        elif fields:
            null = "".join(lines[at : at + reader.line_num]).rstrip("\r\n").endswith(",")  # not quoted
            good.append((int(number.split(".")[0]) if number else None, None if null else fields[1], at + 1))
        at += reader.line_num
    return good, bad


PIECES = st.sampled_from(
    [
        "1",
        "23",
        "x",
        "é",
        " ",
        ",",
        ",",
        '"',
        '""',
        '"a"',
        '"1"',
        '"a,\n"',
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\t",
        ".0",
        "\ufeff",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join), st.sampled_from([3, 17, 1 << 20]), st.sampled_from([1, 2, 100]))
def test_equals_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, text: str, chunk_bytes: int, chunk_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    chunks = read(folder, text, header=False, chunk_bytes=chunk_bytes, chunk_rows=chunk_rows)
    good, bad = oracle(text)
    assert rows(chunks) == good
    assert [row[0] for row in rejects(chunks)] == bad


RECORD = st.tuples(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(RECORD, max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_round_trip_of_what_python_writes(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int | None, str]], end: str, quoting: Any
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    with (folder / "y.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=end, quoting=quoting)
        writer.writerow(["a", "b"])
        writer.writerows(records)
    chunks = read(folder, (folder / "y.csv").read_bytes(), chunk_bytes=64)
    assert [(a, b or "") for a, b, _ in rows(chunks)] == records
    assert rejects(chunks) == []


def test_unquoted_nothing_is_null_and_quoted_nothing_a_string(tmp_path: Path) -> None:
    assert rows(read(tmp_path, 'a,b\n1,\n2,""\n"",x\n,"y"\n')) == [
        (1, None, 2),
        (2, "", 3),
        (None, "x", 4),
        (None, "y", 5),
    ]


@pytest.mark.parametrize("content", ["", "a,b", "a,b\n", "\n\na,b\r\n", "\ufeffa,b\n\n\n"])
def test_no_records(tmp_path: Path, content: str) -> None:
    assert rows(read(tmp_path, content)) == []


def test_no_newline_at_the_end(tmp_path: Path) -> None:
    assert rows(read(tmp_path, "\ufeffa,b\n1,x")) == [(1, "x", 2)]
    assert rows(read(tmp_path, 'a,b\n1,"x"')) == [(1, "x", 2)]
    assert rows(read(tmp_path, "a,b\n1,x\r")) == [(1, "x", 2)]


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("1", None, "the record has 1 fields, not 2"),
        ("1,2,3", None, "the record has 3 fields, not 2"),
        ("x,2", "a", "is not an int64"),
        ("1.5,2", "a", "is not an int64"),
        ("1e3,2", "a", "is not an int64"),
        ("9223372036854775808,2", "a", "is not an int64"),
        ('"1"x,2', None, "text follows a closing quote"),
        ('1,"2', None, "a quoted value is never closed"),
        ("1,a\0b", "b", "has a NUL character, which a string cannot hold"),
        (b"1,\xff", None, "the record is not valid UTF-8"),
        ("1," + "y" * 200, None, "the record is longer than 99 bytes"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [16, 1 << 20])
def test_a_bad_record_is_rejected_alone(
    tmp_path: Path, line: str | bytes, column: str | None, reason: str, chunk_bytes: int
) -> None:
    raw = line.encode() if isinstance(line, str) else line
    content = b"a,b\n7,before\n" + raw + b"\n9223372036854775807,after\n"
    chunks = read(tmp_path, content, max_record_bytes=99, chunk_bytes=chunk_bytes)
    assert rows(chunks) == [(7, "before", 2), (9223372036854775807, "after", 4)]
    assert [row[:2] for row in rejects(chunks)] == [(3, column)]
    assert rejects(chunks)[0][2].startswith(reason)
    text, record = rejects(chunks)[0][3:5]
    if column is None:
        assert text.startswith(raw.decode("utf-8", "replace")[:50])
        assert record is None
    else:
        first, second = raw.decode().split(",")
        found = json.loads(record)
        assert (str(found["a"]), found["b"], text) == (first, second, None)
    assert all(chunk.read == chunk.frame.height + chunk.rejects.height for chunk in chunks)


def test_a_quote_never_closed_costs_one_record_of_a_long_file(tmp_path: Path) -> None:
    content = 'a,b\n1,"open\n' + "".join(f"{n},text {n}\n" for n in range(50_000))
    chunks = read(tmp_path, content, max_record_bytes=1000, chunk_bytes=4096)
    assert len(rows(chunks)) == 50_000
    assert [row[0] for row in rejects(chunks)] == [2]


def test_a_record_of_many_chunks(tmp_path: Path) -> None:
    long = "y" * 5_000_000
    chunks = read(tmp_path, f'a,b\n1,"{long}\n,"\n2,z\n', chunk_bytes=1 << 16)
    assert rows(chunks) == [(1, f"{long}\n,", 2), (2, "z", 4)]


@pytest.mark.parametrize(
    ("header", "wrong"),
    [("a,b,a", "column a stands there twice"), ("x,y", "none of the declared columns"), ('a,"b', "never closed")],
)
def test_a_wrong_header_is_a_mistake_with_its_line(tmp_path: Path, header: str, wrong: str) -> None:
    with pytest.raises(InvalidInput, match=wrong) as caught:
        read(tmp_path, f"\n{header}\n1,2,3\n")
    assert (caught.value.mistakes[0].file, caught.value.mistakes[0].line) == ("x.csv", 2)


def test_missing_columns_are_null_and_unknown_ones_listed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("extra,a\n9,1\n")
    source = Csv.open(Csv.Config(path="x.csv"), TWO, Context(base=tmp_path))
    assert [row for s in source.splits() for c in source.read(s, None) for row in c.frame.rows()] == [(1, None, 2)]
    assert source.unknown_columns == {"extra"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    content = ("a,b\n" + "1,süß\n" * 3000).encode(encoding)
    assert rows(read(tmp_path, content, encoding=encoding, chunk_bytes=999))[-1] == (1, "süß", 3001)


def test_half_a_surrogate_pair_is_a_reject_and_half_a_code_unit_stops(tmp_path: Path) -> None:
    content = "a,b\n1,x\n2,".encode("utf-16-le") + b"\x00\xd8" + "y\n3,z\n".encode("utf-16-le")
    chunks = read(tmp_path, content, encoding="utf-16-le")
    assert [row[0] for row in rows(chunks)] == [1, 3]
    assert rejects(chunks)[0][:3] == (3, None, "the record is not valid UTF-8")
    with pytest.raises(Fatal, match=r"x\.csv is not valid utf-16-le near byte"):
        read(tmp_path, content + b"\x31", encoding="utf-16-le")


def test_dialect_and_null_values(tmp_path: Path) -> None:
    chunks = read(tmp_path, "a;b\nNULL;'x;y'\n1;'NULL'\n2;NULL\n", delimiter=";", quote="'", null_values=["NULL"])
    assert rows(chunks) == [(None, "x;y", 2), (1, "NULL", 3), (2, None, 4)]
    assert rows(read(tmp_path, 'a\tb\n1\t"x\n', delimiter="\t", quote="")) == [(1, '"x', 2)]


def test_every_declared_type(tmp_path: Path) -> None:
    columns = {
        "f": Column(type="float64"),
        "d": Column(type="decimal", scale=2),
        "o": Column(type="bool"),
        "t": Column(type="timestamp"),
        "y": Column(type="date"),
        "n": Column(type="binary"),
        "j": Column(type="json"),
    }
    content = 'f,d,o,t,y,n,j\n1e3,-0.10,YES,2024-02-29T10:00:00+02:00,2024-02-29,aGk=,"{""k"":[1]}"\n,,,,,,\n'
    frame = pl.concat([chunk.frame for chunk in read(tmp_path, content, columns)])
    assert frame.drop("_line").schema == {n: c for n, c in frame.schema.items() if n != "_line"}
    first = frame.row(0, named=True)
    assert (first["f"], str(first["d"]), first["o"], first["n"]) == (1000.0, "-0.10", True, b"hi")
    assert first["t"].isoformat() == "2024-02-29T08:00:00+00:00"
    assert first["j"] == '{"k":[1]}'
    assert frame.row(1) == (None,) * 7 + (3,)
