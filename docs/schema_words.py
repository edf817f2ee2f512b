"""JSON Schema in words: what a field may be, in a few words for a table. Knows no component."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

Schema = dict[str, Any]

_BOUNDS: Final = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("minItems", "{} or more"),
    ("pattern", "like `{}`"),
)
_NAMES: Final = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


@dataclass(frozen=True)
class Field:
    name: str
    says: str
    default: str
    description: str


def fields(schema: Schema) -> list[Field]:
    """The properties of an object's schema; empty for what is no object."""
    required = set(schema.get("required", ()))
    return [
        Field(name, words(one), "required" if name in required else _default(one), one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def definitions(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Forms that the schema refers to by name and that have fields of their own."""
    for name, one in sorted(schema.get("$defs", {}).items()):
        if one.get("properties"):
            yield name, one


def words(schema: Schema) -> str:
    """What a value may be."""
    if "$ref" in schema:
        return f"*{schema['$ref'].rsplit('/', 1)[-1]}*"
    if "const" in schema:
        return literal(schema["const"])
    if "enum" in schema:
        return " or ".join(literal(one) for one in schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            meant = [words(one) for one in schema[choice] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(meant))
    return " ".join([_plain(schema), *_bounds(schema)])


def _plain(schema: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        return f"list of {words(schema.get('items', {}))}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"map to {words(values)}" if isinstance(values, dict) else "map"
    return _NAMES.get(str(kind), "any value")


def _bounds(schema: Schema) -> list[str]:
    told = [text.format(schema[key]) for key, text in _BOUNDS if key in schema and schema[key] != ""]
    return [f"({', '.join(told)})"] if told else []


def _default(schema: Schema) -> str:
    return literal(schema["default"]) if schema.get("default") is not None else ""


def literal(value: Any) -> str:
    return f"`{orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()}`"
