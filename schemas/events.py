"""Events that are read one by one, as Avro in its single-object encoding.

Each event carries the fingerprint of the schema it was written with, so it can be read whatever the reader's
own schema is. `schemas/avro/NAME.avsc` is what is written; earlier forms stay beside it as `NAME.1.avsc`,
`NAME.2.avsc` and so on, and are read into the present form.
"""

from __future__ import annotations

import io
from functools import cache
from importlib import resources
from typing import Any, Final

import fastavro
import orjson
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.errors import Fatal

_MARK: Final = b"\xc3\x01"
_HEAD: Final = len(_MARK) + 8
_CRC: Final = "CRC-64-AVRO"


def names() -> list[str]:
    """Every kind of event."""
    return sorted(name for name in _files() if "." not in name)


def encode(name: str, record: dict[str, Any]) -> bytes:
    schema, mark = _present(name)
    sink = io.BytesIO()
    sink.write(mark)
    fastavro.schemaless_writer(sink, schema, record, strict_allow_default=True)
    return sink.getvalue()


def decode(name: str, payload: bytes) -> dict[str, Any]:
    """The event in its present form; `Fatal` when it is not an event of that name."""
    head, (present, _) = payload[:_HEAD], _present(name)
    written = _known(name).get(head)
    if written is None:
        raise Fatal(f"a message is not a {name} event that this version can read")
    try:
        record = fastavro.schemaless_reader(io.BytesIO(payload[_HEAD:]), written, present)
    except (EOFError, ValueError, IndexError) as error:
        raise Fatal(f"a {name} event is cut off or damaged") from error
    if not isinstance(record, dict):
        raise Fatal(f"a {name} event is not a record")
    return record


def mark(schema: dict[str, Any]) -> bytes:
    """What an event written with this schema begins with."""
    crc = fingerprint(to_parsing_canonical_form(schema), _CRC)
    return _MARK + bytes.fromhex(crc)


@cache
def _files() -> dict[str, dict[str, Any]]:
    folder = resources.files("schemas").joinpath("avro")
    return {
        file.name.removesuffix(".avsc"): orjson.loads(file.read_bytes())
        for file in folder.iterdir()
        if file.name.endswith(".avsc")
    }


@cache
def _present(name: str) -> tuple[Any, bytes]:
    raw = _files().get(name)
    if raw is None:
        raise Fatal(f"there is no event {name!r}; there are {', '.join(names())}")
    return fastavro.parse_schema(raw, named_schemas={}), mark(raw)


@cache
def _known(name: str) -> dict[bytes, Any]:
    """Every form of the event that was ever written, by what it begins with."""
    forms = [raw for file, raw in _files().items() if file.split(".")[0] == name]
    return {mark(raw): fastavro.parse_schema(raw, named_schemas={}) for raw in forms}
