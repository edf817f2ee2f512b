"""What the composition root finds, and the JSON Schema that is published of it."""

import json
from pathlib import Path

import pytest

from control_api.composition import components, task_json_schema
from schemas.task.load import lint_text

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


WINDOWS = """
task: windows
mode: MODE
tables:
  person:
    columns: {id: {type: int64}, age: {type: int64}, city: {type: string}}
    sources: {feed: {connector: jsonl, path: x.jsonl}}
  elder:
    from: {person: {}}
    transform: [{filter: person.age > 60}]
OTHER    anonymize:
      - {method: suppress, FIRST}
      - {method: generalize, quasi_identifiers: [age], k: 3, suppression_limit: 0.1, window: {records: 9, delay: 5}}
"""
OTHER = """  other:
    columns: {id: {type: int64}, age: {type: int64}, city: {type: string}}
    sources: {feed: {connector: jsonl, path: x.jsonl}}
"""
PLAIN, WHOLE = "columns: [city]", "columns: [city], rarer_than: 3, records: true, limit: 0.5"


@pytest.mark.parametrize(
    ("mode", "other", "first", "wrong"),
    [
        ("snapshot", OTHER, PLAIN, "a snapshot has no windows"),
        ("continuous", "", PLAIN, "a derived table has no windows"),
        ("continuous", OTHER, WHOLE, "suppress looks at the whole table, which no window sees"),
        ("continuous", OTHER, PLAIN, None),
    ],
)
def test_windows_belong_to_collected_tables_of_continuous_tasks(
    mode: str, other: str, first: str, wrong: str | None
) -> None:
    text = WINDOWS.replace("MODE", mode).replace("OTHER", other).replace("FIRST", first)
    task, mistakes = lint_text(Path("windows.yaml"), text, components())
    told = [mistake for mistake in mistakes if mistake.severity == "error"]
    if wrong is None:
        assert task is not None
        assert not told
        return
    (mistake,) = told
    assert mistake.wrong.startswith(wrong)
    assert mistake.path == f"tables.{'other' if other else 'elder'}.anonymize[1].window"
