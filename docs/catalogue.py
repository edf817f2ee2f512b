"""The catalogue of components, from the components themselves: `python -m docs.catalogue`.

A component's docstring says what it does, its config says what may be set, its examples say what comes out. Knows no
component: what the packages hold is found by walking them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from control_api.composition import components
from docs.project import Finding, Project
from docs.schema_words import definitions, fields, literal, words
from schemas.task.components import Components

PAGE: Final = "docs/catalogue.md"
_HEAD: Final = """# Catalogue of components

Written by `make docs` from the code; not by hand. A component is one file, found by walking its package.
The form of a whole task file is `docs/task.schema.json`, a JSON Schema that editors understand.
"""


def catalogue() -> str:
    found, parts = components(), [_HEAD]
    parts += _chapter("Field rules", "A key under a column of a table.", found.rules)
    parts += _chapter("Anonymization methods", "What `method:` says.", found.methods)
    parts += _chapter("Sources", "What `connector:` says under a source.", found.sources)
    parts += _chapter("Connections", "What `type:` says under a connection.", found.connections)
    return "\n".join(parts).rstrip("\n") + "\n"


def _chapter(title: str, says: str, found: Mapping[str, type[Any]]) -> Iterator[str]:
    yield f"## {title}\n\n{says}\n"
    for name, component in found.items():
        yield f"### {name}\n\n{_document(component)}\n"
        if types := getattr(component, "types", None):
            yield f"Fits columns of type {', '.join(sorted(types))}.\n"
        yield from _config(component.Config.model_json_schema())
        yield from _examples(name, getattr(component, "examples", ()))


def _document(component: type[Any]) -> str:
    own, config = component.__doc__ or "", component.Config.__dict__.get("__doc__") or ""
    return " ".join(_text(text) for text in (own, config) if text)


def _text(document: str | None) -> str:
    return " ".join((document or "").split())


def _config(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("properties"):
        yield _table(schema)
    else:
        yield f"Its config is {words({key: one for key, one in schema.items() if key != '$defs'})}.\n"
    for name, one in definitions(schema):
        told = " ".join(one.get("description", "").split())
        yield f"*{name}*{f': {told}' if told else ''}\n"
        yield _table(one)


def _table(schema: dict[str, Any]) -> str:
    lines = ["| field | what | default | meaning |", "|---|---|---|---|"]
    for field in fields(schema):
        cells = (f"`{field.name}`", field.says, field.default, " ".join(field.description.split()))
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _examples(name: str, examples: Any) -> Iterator[str]:
    told = [_rule_example(one) if hasattr(one, "kept") else _method_example(name, one) for one in examples]
    if told:
        yield "\n".join(told) + "\n"


def _rule_example(example: Any) -> str:
    gone = [f"{example.dropped} dropped"] * (example.dropped > 0) + [f"{example.rejected} rejected"] * (
        example.rejected > 0
    )
    told = "; ".join([_values(example.kept), *gone])
    return f"- {example.says}: {literal(example.column)}: {_values(example.given)} → {told}"


def _method_example(name: str, example: Any) -> str:
    options = literal({"method": name, **example.options})
    gives = "at random" if example.gives is None else _columns(example.gives)
    return f"- {example.says}: {options}: {_columns(example.given)} → {gives}"


def _columns(columns: Any) -> str:
    return ", ".join(f"{name} {_values(values)}" for name, values in columns.items())


def _values(values: Any) -> str:
    return literal([_shown(value) for value in values])


def _shown(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str) and len(value) > 60:
        return f"{value[:20]}… ({len(value)} characters)"
    return value


def undescribed(found: Components) -> Iterator[str]:
    """Fields of a component's config that do not say what they mean: `csv.path`."""
    for group in (found.rules, found.methods, found.sources, found.connections):
        for name, component in group.items():
            schema = component.Config.model_json_schema()
            for owner, one in [(name, schema), *((f"{name}.{inner}", of) for inner, of in definitions(schema))]:
                yield from (f"{owner}.{field.name}" for field in fields(one) if not field.description.strip())


def check_catalogue(project: Project) -> Iterator[Finding]:
    for name in undescribed(components()):
        yield Finding(PAGE, 0, f"{name} has no meaning; give the field of its config a description")
    written = project.read(PAGE).splitlines() if project.exists(PAGE) else []
    for number, (stands, should) in enumerate(zip_longest(written, catalogue().splitlines()), 1):
        if stands != should:
            yield Finding(PAGE, number, "does not tell what the components are; write it again with `make docs`")
            return


if __name__ == "__main__":
    Path(PAGE).write_text(catalogue(), encoding="utf-8")
