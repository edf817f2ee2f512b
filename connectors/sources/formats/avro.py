"""Avro records, one to a message: bare ones of a given schema, or with the id of a schema in a registry."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fastavro
import httpx
import polars as pl
import pyarrow as pa

from connectors.sources.formats.rejected import Refusals
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.texts import TextOptions
from connectors.sources.formats.values import read_table
from schemas.errors import Fatal, Retriable

_FRAME: Final = struct.Struct(">bI")
_ANSWER_SECONDS: Final = 10.0


class Registry:
    """Schemas by id, each asked for once."""

    def __init__(self, url: str, connection: Mapping[str, Any]) -> None:
        user = connection.get("registry_username")
        self._auth = httpx.BasicAuth(user, str(connection.get("registry_password", ""))) if user else None
        self._url = url.rstrip("/")
        self._known: dict[int, Any] = {}

    def schema(self, number: int) -> Any:
        """None if there is no such schema."""
        if number not in self._known:
            self._known[number] = self._fetch(number)
        return self._known[number]

    def _fetch(self, number: int) -> Any:
        try:
            answer = httpx.get(f"{self._url}/schemas/ids/{number}", auth=self._auth, timeout=_ANSWER_SECONDS)
        except httpx.HTTPError as error:
            raise Retriable(f"the schema registry does not answer: {type(error).__name__}") from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Retriable(f"the schema registry answers {answer.status_code}")
        if answer.status_code != httpx.codes.OK:
            raise Fatal(f"the schema registry refuses schema {number}: {answer.status_code}")
        told = answer.json()
        if told.get("references") or told.get("schemaType", "AVRO") != "AVRO":
            raise Fatal(f"schema {number} of the registry is not one Avro schema that stands for itself")
        return parsed(told["schema"], f"schema {number} of the registry")


def parsed(schema: str | dict[str, Any], label: str) -> Any:
    """A schema that is ready to decode with."""
    try:
        return fastavro.parse_schema(json.loads(schema) if isinstance(schema, str) else schema)
    except (ValueError, fastavro.schema.SchemaParseException, fastavro.schema.UnknownType) as error:
        raise Fatal(f"{label} is no Avro schema: {error}") from error


def load_schema(given: str | dict[str, Any], base: Path) -> Any:
    """A schema given in the task, or the path of the file that holds it."""
    if isinstance(given, dict):
        return parsed(given, "avro_schema")
    try:
        return parsed((base / given).read_text(), given)
    except OSError as error:
        raise Fatal(f"the schema {given} cannot be read: {error.strerror}") from error


class AvroMessages:
    """Values that are Avro records."""

    def __init__(self, shape: Shape, label: str, schema: Any | None, registry: Registry | None) -> None:
        self._shape = shape
        self._label = label
        self._schema = schema
        self._registry = registry
        self._wanted = [shape.theirs(name) for name in shape.wanted]

    def decode(self, records: Sequence[bytes]) -> tuple[pl.DataFrame, Refusals]:
        refused = Refusals()
        rows: list[Mapping[str, Any]] = []
        nothing: Mapping[str, Any] = {}
        for row, record in enumerate(records):
            read = self._record(record)
            if isinstance(read, str):
                refused.rows[row] = (None, read)
                read = nothing
            rows.append(read)
        columns = {name: _array([record.get(name) for record in rows]) for name in self._wanted}
        typed, refusals = read_table(pa.table(columns), self._shape, self._label, TextOptions())
        refusals.rows = refusals.rows | refused.rows
        return typed, refusals

    def record(self, record: bytes) -> Mapping[str, Any] | None:
        """What a message says by the source's names; None if it is no record."""
        read = self._record(record)
        return None if isinstance(read, str) else read

    def _record(self, record: bytes) -> Mapping[str, Any] | str:
        schema: Any = self._schema
        start = 0
        if self._registry is not None:
            if len(record) < _FRAME.size or record[0] != 0:
                return "the message does not begin with the id of a schema"
            number = _FRAME.unpack_from(record)[1]
            schema, start = self._registry.schema(number), _FRAME.size
            if schema is None:
                return f"the registry has no schema {number}"
        file = io.BytesIO(record)
        file.seek(start)
        try:
            read = fastavro.schemaless_reader(file, schema)
        except (EOFError, ValueError, IndexError, KeyError, OverflowError, RecursionError, TypeError, MemoryError):
            return "the message is no Avro record of its schema"
        if not isinstance(read, dict) or file.tell() != len(record):
            return "the message is no Avro record of its schema"
        return read


def _array(values: list[Any]) -> pa.Array:
    """A column of what Avro decoded; of different types in one column, the text of each."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else _told(value) for value in values], pa.string())


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
