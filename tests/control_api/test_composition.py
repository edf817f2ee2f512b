"""What the composition root finds, and the JSON Schema that is published of it."""

import json
from pathlib import Path

from control_api.composition import components, task_json_schema

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_up_to_date() -> None:
    """Write it anew with `python -m control_api.composition`."""
    assert json.loads((ROOT / "docs" / "task.schema.json").read_text()) == task_json_schema()


def test_every_component_is_in_the_schema() -> None:
    found, schema = components(), task_json_schema()
    definitions = schema["$defs"]
    assert set(found.rules) <= set(definitions["Column"]["properties"])
    assert definitions["Source"]["properties"]["connector"]["enum"] == sorted(found.sources)
    assert definitions["Method"]["properties"]["method"]["enum"] == sorted(found.methods)
    assert {"csv", "jsonl", "parquet"} <= set(found.sources)
    assert {"range", "empty", "normalize"} <= set(found.rules)
    assert {"suppress", "tokenize", "generalize", "perturb", "mask"} <= set(found.methods)


def test_every_reference_in_the_schema_is_defined() -> None:
    schema = task_json_schema()
    text = json.dumps(schema)
    wanted = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert wanted <= set(schema["$defs"])
