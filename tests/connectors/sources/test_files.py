"""Files as they come: listed by name, directory or glob, compressed, growing, replaced, too long to hold."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from pathlib import Path
from typing import Any

import cramjam
import pytest

from connectors.sources.contract import Context
from connectors.sources.csv import Csv
from connectors.sources.jsonl import Jsonl
from schemas.errors import Fatal, InvalidInput
from schemas.task.model import Changes, Column

COLUMNS = {"id": Column(type="int64")}
CONTENT = b"id\n" + b"".join(b"%d\n" % n for n in range(5000))


def source(folder: Path, path: str, **context: Any) -> Any:
    return Csv.open(Csv.Config(path=path), COLUMNS, Context(base=folder, **context))


def names(folder: Path, path: str) -> list[str]:
    return [split.name for split in source(folder, path).splits()]


def test_a_path_is_a_file_a_directory_or_a_glob(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "c.parquet", ".hidden.csv", "_part.csv", "deep/er/d.tsv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    assert names(tmp_path, "b.csv") == ["b.csv"]
    assert names(tmp_path, ".") == ["a.csv.gz", "b.csv"]
    assert names(tmp_path, "**/*.tsv") == ["deep/er/d.tsv"]
    assert names(tmp_path, "[ab].csv*") == ["a.csv.gz", "b.csv"]
    assert names(tmp_path / "deep", "../b.csv") == ["../b.csv"]
    assert names(tmp_path, str(tmp_path / "deep" / "er")) == ["deep/er/d.tsv"]


@pytest.mark.parametrize(
    ("path", "wrong"), [("none.csv", "no such file"), ("*.none", "no file is there"), ("empty", "no file is there")]
)
def test_nothing_there_is_a_mistake(tmp_path: Path, path: str, wrong: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=wrong):
        source(tmp_path, path).splits()


PACKED = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: bytes(cramjam.zstd.compress(data)),
    ".lz4": lambda data: bytes(cramjam.lz4.compress(data)),
}


@pytest.mark.parametrize("extension", PACKED)
def test_compressed_files_and_their_positions(tmp_path: Path, extension: str) -> None:
    packed = PACKED[extension](CONTENT)
    (tmp_path / f"x.csv{extension}").write_bytes(packed)
    opened = source(tmp_path, f"x.csv{extension}", chunk_rows=700)
    (split,) = opened.splits()
    chunks = list(opened.read(split, None))
    assert [row for chunk in chunks for row in chunk.frame["id"]] == list(range(5000))
    rest = list(opened.read(split, chunks[3].position))
    assert [chunk.frame.rows() for chunk in rest] == [chunk.frame.rows() for chunk in chunks[4:]]
    (tmp_path / f"x.csv{extension}").write_bytes(packed[:-20])
    with pytest.raises(Fatal, match=r"x\.csv.* cannot be decompressed"):
        list(opened.read(split, None))


@pytest.mark.parametrize(("content", "why"), [(b"id\n1\n", "shorter"), (CONTENT.replace(b"7", b"8"), "replaced")])
def test_a_file_that_shrank_or_was_replaced(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x.csv").write_bytes(CONTENT)
    opened = source(tmp_path, "x.csv", follow=True)
    (split,) = opened.splits()
    (chunk,) = opened.read(split, None)
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(Fatal, match=why):
        list(opened.read(split, chunk.position))


def test_following_a_directory(tmp_path: Path) -> None:
    opened = source(tmp_path, ".", follow=True, changes=Changes())
    assert opened.splits() == []
    (tmp_path / "b.csv").write_bytes(b"id\n1\n2")
    (first,) = opened.splits()
    (chunk,) = opened.read(first, None)
    assert chunk.frame.rows() == [(1, 2, 2, 0)]
    (tmp_path / "b.csv").write_bytes(b"id\n1\n23\n")
    (chunk,) = opened.read(first, chunk.position)
    assert chunk.frame["id"].to_list() == [23]
    (tmp_path / "c.csv").write_bytes(b"id\n5\n")
    (later,) = next(iter(opened.read(opened.splits()[1], None))).frame["_pos"]
    assert later > chunk.frame["_pos"].max()
    (tmp_path / "a.csv").write_bytes(b"id\n5\n")
    with pytest.raises(InvalidInput, match="sort behind the old ones"):
        opened.splits()


@pytest.mark.parametrize("content", [b"", b"i", b"id"])
def test_a_followed_file_without_a_whole_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    opened = source(tmp_path, "x.csv", follow=True)
    assert [list(opened.read(split, None)) for split in opened.splits()] == [[]]


@pytest.mark.parametrize("kind", [Csv, Jsonl])
def test_a_line_without_end_is_not_held(tmp_path: Path, kind: Any) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.write(b"id\n" if kind is Csv else b'{"id":1}\n')
        for _ in range(60):
            file.write(b'"' + b"y" * (1 << 20))
        file.write(b'\n1\n{"id":2}\n')
    config = kind.Config(path="x", max_record_bytes=1 << 16)
    opened = kind.open(config, COLUMNS, Context(base=tmp_path, chunk_bytes=1 << 16))
    tracemalloc.start()
    chunks = [chunk for split in opened.splits() for chunk in opened.read(split, None)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(chunk.frame.height for chunk in chunks) == (1 if kind is Csv else 2)
    assert peak < 8 << 20


def test_encodings_are_checked() -> None:
    with pytest.raises(ValueError, match="no encoding of text"):
        Csv.Config(path="x", encoding="utf-99")
