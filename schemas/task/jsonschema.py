"""The JSON Schema of a task file: the task's model, with the configs of the components that were found.

A component's options stand beside the key that names it, so each name becomes a condition on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.task.components import Components
from schemas.task.model import Task

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SECRET = {"$ref": "#/$defs/Secret"}


def task_schema(components: Components) -> dict[str, Any]:
    """The schema, which depends on the components alone."""
    schema = Task.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions["Secret"] = _secret()
    rules = {name: _config(rule.Config, f"rule.{name}", definitions) for name, rule in components.rules.items()}
    column = definitions["Column"]
    column["properties"] |= rules
    column["additionalProperties"] = False
    _conditions(definitions, "Source", "connector", components.sources)
    _conditions(definitions, "Method", "method", components.methods)
    _conditions(definitions, "Connection", "type", components.connections)
    return {"$schema": _DIALECT, "title": "A mETaL task", **schema, "$defs": definitions}


def _conditions(definitions: dict[str, Any], owner: str, key: str, found: Mapping[str, type[Any]]) -> None:
    """What the named component allows beside its name."""
    own = definitions[owner]
    own["properties"][key] = {"enum": sorted(found), **_described(own["properties"][key])}
    own["unevaluatedProperties"] = False
    own.pop("additionalProperties", None)
    own["allOf"] = []
    for name, component in sorted(found.items()):
        config = _config(getattr(component, "Config", component), f"{owner.lower()}.{name}", definitions)
        target = definitions[config["$ref"].removeprefix("#/$defs/")]
        target.pop("additionalProperties", None)
        for option, form in target.get("properties", {}).items():
            target["properties"][option] = {"anyOf": [form, _SECRET]} if owner != "Method" else form
        test = {"properties": {key: {"const": name}}, "required": [key]}
        own["allOf"].append({"if": test, "then": config})


def _described(form: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in form.items() if key in ("title", "description")}


def _config(model: type[Any], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The config's schema under a name of its own; returns a reference to it."""
    template = f"#/$defs/{name}.{{model}}"
    schema = model.model_json_schema(by_alias=True, ref_template=template)
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = definition
    definitions[name] = schema
    return {"$ref": f"#/$defs/{name}"}


def _secret() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    one = [{"required": ["env"]}, {"required": ["file"]}]
    return {
        "type": "object",
        "description": "Where a secret stands: an environment variable, or a file.",
        "properties": {"env": text, "file": text},
        "additionalProperties": False,
        "oneOf": one,
    }
