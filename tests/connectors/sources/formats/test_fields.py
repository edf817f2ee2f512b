"""Fields that are cut exactly are those of each record cut by hand; those that are cut quickly are the same, or it is
known that only the exact way can tell."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from connectors.sources.contract import Chunk, Context
from connectors.sources.csv import Csv
from connectors.sources.formats import csv as decoder
from connectors.sources.formats.fields import Fields, cut_exactly, cut_quickly
from connectors.sources.formats.records import Dialect, Records
from connectors.sources.formats.scan import scan
from connectors.sources.formats.texts import is_utf8
from schemas.task.model import Column

DIALECTS = [Dialect(), Dialect(";", "'"), Dialect("\t", ""), Dialect(" ", '"'), Dialect("a", "b"), Dialect("0", "1")]
WHOLE = [
    "",
    "1",
    "x",
    "é",
    " ",
    "  ",
    "QQ",
    "QxQ",
    "QxDyQ",
    "Qx\nQ",
    "Qx\r\nQ",
    "QQQQ",
    "QxQQ\n\nQQQ",
    "\0",
    "\ufeff",
    "\ufeffx",
]
MARKS = ["D", "D", "D", "D", "\n", "\n", "\n", "\r\n", "\r", "Q", "\ufeff", "z" * 70]
PIECES = st.sampled_from([*WHOLE, *MARKS])


def written(text: str, dialect: Dialect) -> bytes:
    return text.replace("D", dialect.delimiter).replace("Q", dialect.quote).encode()


def by_hand(record: str, fields: Fields) -> list[str | None]:
    """The fields of one whole record, one character after the other."""
    delimiter, quote = fields.dialect.delimiter, fields.dialect.quote
    found: list[str | None] = []
    rest = record
    while True:
        if quote and rest.startswith(quote):
            value, rest = "", rest[1:]
            while not rest.startswith(quote) or rest.startswith(quote * 2):
                value, rest = value + rest[0], rest[2 if rest.startswith(quote) else 1 :]
            found.append(value)
            rest = rest[1:]
        else:
            value = rest.split(delimiter, 1)[0]
            rest = rest[len(value) :]
            found.append(None if value in fields.null_values else value)
        if not rest:
            return found
        assert rest.startswith(delimiter)
        rest = rest[1:]


def expect(data: bytes, records: Records, fields: Fields) -> tuple[pl.DataFrame, dict[int, int]]:
    spans = zip(records.starts.tolist(), records.ends.tolist(), strict=True)
    cut = [by_hand(data[start:end].decode(), fields) for start, end in spans]
    whole = [row for row in cut if len(row) == fields.count]
    texts = {name: [row[index] for row in whole] for name, index in fields.found.items()}
    odd = {row: len(values) for row, values in enumerate(cut) if len(values) != fields.count}
    return pl.DataFrame(texts, schema=dict.fromkeys(fields.found, pl.String())), odd


def compare(data: bytes, fields: Fields, final: bool = True, limit: int = 1 << 20) -> bool:
    """Whether it was cut quickly."""
    records = scan(data, fields.dialect, final, limit)
    if not len(records.starts):
        return False
    quick = cut_quickly(data, records, fields)
    exact, odd = (None, {}) if records.broken else cut_exactly(data[: records.size], fields)
    if exact is not None:
        expected, expected_odd = expect(data, records, fields)
        assert_frame_equal(exact, expected)
        assert odd == expected_odd
    if not records.plain:
        assert quick is None
        return False
    assert exact is not None
    assert (quick is None) == bool(odd or fields.null_values != ("",))
    if quick is not None:
        assert_frame_equal(quick, exact)
    return quick is not None


@settings(max_examples=600, deadline=None)
@given(
    st.lists(PIECES, max_size=60).map("".join),
    st.sampled_from(DIALECTS),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([1, 3, 1 << 20]),
    st.sampled_from([("",), ("",), ("", "x"), ()]),
)
@example("DD", Dialect(), 2, True, 9, ("",))  # one empty field more, and no line end behind it
@example("xDy\nD\n", Dialect(), 3, True, 9, ("",))
@example("D\nD", Dialect(), 3, False, 9, ("",))  # the delimiter looked for stands behind, in what is not read yet
@example("x^D1\nyD2\n", Dialect(), 2, True, 9, ("",))  # begins as a packed file may
@example("x\x01D1\nyD2\n", Dialect(), 2, True, 9, ("",))
@example("\ufeffxDy\n", Dialect(), 2, True, 9, ("",))
@example("\ufeff", Dialect(), 1, True, 9, ())
@example("xDQQD", Dialect(), 3, True, 9, ("",))  # no line end behind the empty field, and quotes in front of it
def test_any_text(
    text: str, dialect: Dialect, count: int, final: bool, limit: int, null_values: tuple[str, ...]
) -> None:
    found = {"last": count - 1, "first": 0} if count > 1 else {"only": 0}
    compare(written(text, dialect), Fields(dialect, null_values, count, found), final, limit)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WHOLE), min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from([one for one in DIALECTS if one.quote]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_whole_records_are_cut_quickly(values: list[list[str]], dialect: Dialect, end: str, ended: bool) -> None:
    text = end.join("D".join(row) for row in values) + end * ended
    data = text.replace("x", "~").replace("1", "2").replace(" ", "_")  # which no dialect gives a meaning
    assert compare(written(data, dialect), Fields(dialect, ("",), 3, {"a": 0, "b": 1, "c": 2}))


CUT_SHORT = [b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x80", b"\xf0\x9f\x92"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WHOLE), min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from(CUT_SHORT),
    st.data(),
)
def test_what_is_no_text_is_never_cut_quickly(values: list[list[str]], bad: bytes, data: st.DataObject) -> None:
    block = written("\n".join("D".join(row) for row in values) + "\n", Dialect())
    found = {"a": 0, "b": 1}  # and a column that nobody wants
    place = data.draw(st.integers(0, len(block) - 1))
    for text in (block, block[:place] + bad + block[place:]):
        records = scan(text, Dialect(), True, 1 << 20)
        frame = cut_quickly(text, records, Fields(Dialect(), ("",), 3, found))
        assert frame is None or is_utf8(text)


def test_where_only_the_exact_way_can_tell() -> None:
    data, found = b"x,,1\ny,2,\n", {"a": 0, "b": 1}
    records = scan(data, Dialect(), True, 9)
    assert cut_quickly(data, records, Fields(Dialect(), ("",), 3, found)) is not None
    assert cut_quickly(data, records, Fields(Dialect(), ("", "y"), 3, found)) is None
    assert cut_quickly(data, records, Fields(Dialect(), (), 3, found)) is None
    assert cut_quickly(data, records, Fields(Dialect(), ("",), 3, {"a": 0})) is None  # most would be read for nothing


@pytest.mark.parametrize("odd", ["", "x,y", "x,y,z,", ",", ",,,", '"x,y",z'])
def test_a_large_block(odd: str) -> None:
    """Large enough for polars to cut it in parts, between which quoted line ends stand."""
    chance = random.Random(1)
    values = ["", '""', "\ufeffplain", '"a, b"', '"two\nlines"', '"a ""\r\n"" b"', "é" * 20, "long " * 30]
    lines = [",".join(chance.choices(values, k=3)) for _ in range(60_000)]
    at = chance.randrange(len(lines))
    if odd:
        lines[at] = odd
    data = ("\n".join(lines) + '\n"",,').encode()
    assert len(data) > 4_000_000
    fields = Fields(Dialect(), ("",), 3, {"a": 0, "b": 1, "c": 2})
    assert compare(data, fields) == (odd == "")
    if odd:
        assert list(cut_exactly(data, fields)[1]) == [at]


TEXTS: dict[Any, list[str]] = {
    "string": ["NULL", "nan", " x ", "\0", "x\0y"],
    "int64": [
        *["1", "+1", "-0", " 1\t", "007", "1.", "1.00", "1.5", "1e3", "1_0", "0x1f", "９", "--1", "1 2", "1" * 30],
        *["9223372036854775807", "-9223372036854775808", "9223372036854775808", "00000000000000000000001"],
    ],
    "float64": [
        *["1", "+1.5", ".5", "5.", "1e3", "1E-400", "1e999", "nan", "NaN", "inf", "-Infinity", "1,5", "1_0", "0x1p3"],
        *["-0.0", " 2.5 ", "1d", "1f", "1" * 30, "4.9e-324", "1e", "infinit"],
    ],
    "decimal": ["1", "1.005", "-0.10", "1e-2", "1" * 37, ".5", "5.", "+1", "1e99", " 1 "],
    "bool": ["true", "T", "yes", "1", "0", "f", "No", "2", "y", "on", " true "],
    "date": ["2024-02-29", "2023-02-29", "20240101", " 2024-01-01 ", "2024-1-1", "0000-01-01", "10000-01-01"],
    "timestamp": ["2024-01-05T10:20:30Z", "2024-01-05 10:20", "2024-01-05T24:00:00", "0001-01-01T00:00:00+01:00"],
    "binary": ["aGk=", "aGk", "*", " aGk= "],
    "json": ["{}", "[1", '{"a":"b"}', "NaN", "1 2", '"x"', "null"],
}
BLANK = ["", "", " ", "\t", '""']


def cells(kind: Any) -> st.SearchStrategy[str]:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    plain = st.sampled_from([text for text in TEXTS[kind] if not set(text) & set(',"')])
    numbers = st.one_of(st.integers(-(2**64), 2**64), st.floats()).map(str)
    return st.one_of(plain, plain, st.sampled_from(TEXTS[kind]).map(quoted), st.sampled_from(BLANK), numbers)


def chunks(folder: Path, columns: dict[str, Column], **options: Any) -> list[Chunk]:
    context = Context(base=folder, chunk_bytes=120, chunk_rows=4)
    source = Csv.open(Csv.Config(path="x.csv", **options), columns, context)
    return [chunk for split in source.splits() for chunk in source.read(split, None)]


@pytest.mark.parametrize("kind", TEXTS)
def test_every_type_is_read_the_same_either_way(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    folder = tmp_path_factory.mktemp("fields")
    columns = {"n": Column(type="int64"), "v": Column(type=kind, scale=2)}
    quick: list[pl.DataFrame | None] = []

    def counted(*given: Any) -> pl.DataFrame | None:
        quick.append(cut_quickly(*given))
        return quick[-1]

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(cells(kind), cells(kind), st.sampled_from(["1,2", "1,"])), max_size=12), st.booleans())
    def check(values: list[str], allow_nan: bool) -> None:
        (folder / "x.csv").write_text("n,v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(values)), newline="")
        monkeypatch.setattr(decoder, "cut_quickly", counted)
        found = chunks(folder, columns, allow_nan=allow_nan)
        monkeypatch.setattr(decoder, "cut_quickly", lambda *_: None)
        expected = chunks(folder, columns, allow_nan=allow_nan)
        assert [(c.position, c.read, c.at_end) for c in found] == [(c.position, c.read, c.at_end) for c in expected]
        for one, other in zip(found, expected, strict=True):
            assert_frame_equal(one.frame, other.frame)
            assert_frame_equal(one.rejects, other.rejects)

    check()
    assert any(frame is not None for frame in quick)


def test_records_of_another_length_cost_one_try_as_long_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bool] = []

    def counted(*given: Any) -> pl.DataFrame | None:
        found = cut_quickly(*given)
        tried.append(found is not None)
        return found

    monkeypatch.setattr(decoder, "cut_quickly", counted)
    lines = ["1,2", "1,2,3", "1", "1,2", "1,2", "1,2"]
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{line}\n" for line in lines))
    context = Context(base=tmp_path, chunk_rows=1)
    source = Csv.open(Csv.Config(path="x.csv"), {"a": Column(type="int64"), "b": Column(type="int64")}, context)
    read = [chunk for split in source.splits() for chunk in source.read(split, None)]
    assert [chunk.rejects.height for chunk in read] == [0, 1, 1, 0, 0, 0]
    assert [chunk.rejects["_reason"].to_list() for chunk in read[1:3]] == [
        ["the record has 3 fields, not 2"],
        ["the record has 1 fields, not 2"],
    ]
    assert tried == [True, False, True, True]
