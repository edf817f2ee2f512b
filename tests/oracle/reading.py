"""Records of a source as its file holds them: an own, slow CSV reader, `json`, and pyarrow for Parquet.

A record that has no form at all (a line of JSON that is none, a CSV line with too many fields) is `None`.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

BOM = "\ufeff"


def files(path: Path) -> list[Path]:
    """The files that a path names: one, a directory's, or a glob's, in the order of their names."""
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    return sorted(Path(one) for one in glob.glob(str(path), recursive=True))


def csv_fields(text: str, separator: str = ",") -> Iterator[list[str]]:
    """Fields of one record after another, after RFC 4180; a line end is LF or CRLF."""
    fields: list[str] = []
    at, end = 0, len(text)
    while at < end:
        value, at = _quoted(text, at) if text[at] == '"' else _plain(text, at, separator)
        fields.append(value)
        if at < end and text[at] == separator:
            at += 1
            if at == end:
                fields.append("")
            elif text[at] in "\r\n":
                fields.append("")
                at = _past_line(text, at)
                yield fields
                fields = []
            continue
        at = _past_line(text, at)
        yield fields
        fields = []
    if fields:
        yield fields


def _past_line(text: str, at: int) -> int:
    if text.startswith("\r\n", at):
        return at + 2
    return at + 1


def _plain(text: str, at: int, separator: str) -> tuple[str, int]:
    stop = at
    while stop < len(text) and text[stop] not in (separator, "\n"):
        stop += 1
    value = text[at:stop]
    if value.endswith("\r") and (stop == len(text) or text[stop] == "\n"):
        return value[:-1], stop - 1 if stop < len(text) else stop
    return value, stop


def _quoted(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    at += 1
    while True:
        stop = text.index('"', at)
        parts.append(text[at:stop])
        if not text.startswith('""', stop):
            return "".join(parts), stop + 1
        parts.append('"')
        at = stop + 2


def csv_records(path: Path) -> Iterator[dict[str, Any] | None]:
    lines = csv_fields(path.read_bytes().decode().removeprefix(BOM))
    header = next(lines, [])
    for fields in lines:
        if fields == [""] and len(header) > 1:
            continue  # an empty line is no record
        yield dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None


def jsonl_records(path: Path) -> Iterator[dict[str, Any] | None]:
    for line in path.read_bytes().split(b"\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        yield record if isinstance(record, dict) else None


def parquet_records(path: Path) -> Iterator[dict[str, Any] | None]:
    yield from pq.read_table(path).to_pylist()


READERS = {"csv": csv_records, "jsonl": jsonl_records, "parquet": parquet_records}
