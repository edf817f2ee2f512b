"""What holds for every field rule that is found, without naming one."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

import processors.rules
from processors.rules.protocol import Example, Rule
from processors.rules.runner import CompiledRules, compile_rules
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column

RULES = discover(processors.rules, Rule)
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{i}")
    for name, rule in RULES.items()
    for i, example in enumerate(rule.examples)
]
every_example = pytest.mark.parametrize(("name", "example"), EXAMPLES)


def setting(example: Example) -> tuple[CompiledRules, pl.DataFrame]:
    column = Column.model_validate(example.column)
    series = pl.Series(list(example.given), dtype=polars_type(column.type, column.scale))
    frame = pl.DataFrame({"v": series, "_line": range(len(series))}, schema_overrides={"_line": pl.Int64})
    return compile_rules({"v": column}, RULES), frame


def comparable(values: list[Any]) -> list[Any]:
    return ["NaN" if isinstance(value, float) and math.isnan(value) else value for value in values]


def test_the_required_rules_are_found() -> None:
    assert {"empty", "range", "normalize", "correct", "pattern"} <= RULES.keys()


@pytest.mark.parametrize("name", RULES)
def test_has_documentation_and_examples(name: str) -> None:
    assert RULES[name].__doc__
    assert RULES[name].examples
    assert RULES[name].types


@every_example
def test_example(name: str, example: Example) -> None:
    rules, frame = setting(example)
    outcome = rules.apply(frame)
    assert comparable(outcome.kept["v"].to_list()) == comparable(list(example.kept))
    assert sum(outcome.dropped.values()) == example.dropped
    assert outcome.rejected.height == example.rejected
    assert name in example.column


@every_example
def test_conserves_records_and_their_order(name: str, example: Example) -> None:
    rules, frame = setting(example)
    outcome = rules.apply(frame)
    assert outcome.read == frame.height
    assert outcome.kept["_line"].is_sorted()
    assert not set(outcome.kept["_line"]) & set(outcome.rejected["_line"])
    assert all(count > 0 and rule == f"v.{name}" for rule, count in outcome.dropped.items())


@every_example
def test_leaves_its_input_alone_and_says_the_same_again(name: str, example: Example) -> None:
    rules, frame = setting(example)
    before = frame.clone()
    first, second = rules.apply(frame), rules.apply(frame)
    assert frame.equals(before)
    assert first.kept.equals(second.kept)
    assert first.rejected.equals(second.rejected)


@every_example
def test_a_batch_is_the_sum_of_its_records(name: str, example: Example) -> None:
    rules, frame = setting(example)
    whole = rules.apply(frame)
    parts = [rules.apply(frame.slice(i, 1)) for i in range(frame.height)]
    assert pl.concat([part.kept for part in parts]).equals(whole.kept)
    assert pl.concat([part.rejected for part in parts]).equals(whole.rejected)


@every_example
def test_empty_batches_and_nulls(name: str, example: Example) -> None:
    rules, frame = setting(example)
    nothing = rules.apply(frame.clear())
    assert nothing.read == 0
    assert nothing.kept.schema == rules.apply(frame).kept.schema == {**frame.schema, "_chg": pl.UInt64}
    nulls = rules.apply(pl.DataFrame({"v": [None] * 3, "_line": [1, 2, 3]}, schema=frame.schema))
    assert nulls.read == 3
    assert nulls.rejected.height == 0


@every_example
def test_the_change_bit_tells_changes(name: str, example: Example) -> None:
    rules, frame = setting(example)
    kept = rules.apply(frame).kept
    came = kept.select("_line").join(frame, on="_line", how="left", maintain_order="left")["v"]
    changed = [a != b for a, b in zip(comparable(came.to_list()), comparable(kept["v"].to_list()), strict=True)]
    assert [bits > 0 for bits in kept["_chg"]] == changed
    assert len(rules.changes) <= 1


@every_example
def test_config_survives_a_round_trip(name: str, example: Example) -> None:
    config = RULES[name].Config.model_validate(example.column[name])
    again = RULES[name].Config.model_validate_json(config.model_dump_json(by_alias=True, exclude_unset=True))
    assert again == config
    assert RULES[name].Config.model_json_schema()
