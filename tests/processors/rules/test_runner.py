"""Compiled rules against a plain oracle: order, verdicts, counts, changes, mistakes."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.rules
from processors.outcome import REJECT_COLUMN, REJECT_REASON, REJECT_RULE
from processors.rules.protocol import Rule
from processors.rules.runner import FURTHER, CompiledRules, compile_rules
from processors.wrong_config import ConfigError
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column

RULES = discover(processors.rules, Rule)


def columns_of(declared: dict[str, dict[str, Any]]) -> dict[str, Column]:
    return {name: Column.model_validate(raw) for name, raw in declared.items()}


def compiled(**declared: dict[str, Any]) -> CompiledRules:
    return compile_rules(columns_of(declared), RULES)


def frame_of(declared: dict[str, dict[str, Any]], **values: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(
        {name: pl.Series(values[name], dtype=polars_type(c.type, c.scale)) for name, c in columns_of(declared).items()}
    )


def mistakes_of(**declared: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(**declared)
    return [str(one) for one in caught.value.mistakes]


PEOPLE: dict[str, dict[str, Any]] = {
    "email": {"type": "string", "normalize": ["trim", "lower"]},
    "sex": {"type": "string", "empty": "drop", "normalize": ["trim", "lower"]},
    "age": {"type": "int64", "range": {"min": 0, "max": 100, "outside": "clamp"}},
    "salary": {"type": "float64", "range": {"min": 10, "outside": "drop"}},
    "city": {"type": "string", "empty": {"replace": "unknown"}},
    "code": {"type": "string", "pattern": {"matches": "[0-9]+", "otherwise": "reject"}},
}


def oracle(row: dict[str, Any]) -> tuple[str, dict[str, Any] | str]:
    """kept with the record, dropped with the rule, or rejected with the column."""
    new: dict[str, Any] = {name: row[name] for name in PEOPLE}
    for name in ("email", "sex"):
        new[name] = None if row[name] is None else row[name].strip().lower()
    if not new["sex"]:
        return "dropped", "sex.empty"
    if row["age"] is not None:
        new["age"] = min(max(row["age"], 0), 100)
    if row["salary"] is not None and not row["salary"] >= 10:
        return "dropped", "salary.range"
    new["city"] = row["city"] if row["city"] and row["city"].strip() else "unknown"
    if row["code"] is not None and not (row["code"].isascii() and row["code"].isdigit()):
        return "rejected", "code"
    bits = ["email", "sex", "age", "city"]
    new["_chg"] = sum(1 << i for i, name in enumerate(bits) if new[name] != row[name])
    return "kept", new


text = st.one_of(
    st.none(), st.sampled_from(["", " ", "\u00a0", " Ada ", "ß", "M", " f"]), st.text("aB \t9", max_size=4)
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "email": text,
            "sex": text,
            "age": st.one_of(st.none(), st.integers(-300, 300), st.sampled_from([-(2**63), 2**63 - 1])),
            "salary": st.one_of(st.none(), st.floats()),
            "city": text,
            "code": text,
        }
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(rows)
def test_equals_the_plain_oracle(records: list[dict[str, Any]]) -> None:
    frame = frame_of(PEOPLE, **{name: [row[name] for row in records] for name in PEOPLE})
    outcome = compiled(**PEOPLE).apply(frame)
    expected = [oracle(row) for row in records]
    kept = [row for verdict, row in expected if verdict == "kept"]
    assert [str(row) for row in outcome.kept.iter_rows(named=True)] == [str(row) for row in kept]
    dropped = [rule for verdict, rule in expected if verdict == "dropped"]
    assert outcome.dropped == {rule: dropped.count(rule) for rule in dropped}
    assert outcome.rejected[REJECT_COLUMN].to_list() == [what for verdict, what in expected if verdict == "rejected"]
    assert outcome.read == len(records)


def test_changes_are_numbered_by_bits() -> None:
    assert compiled(**PEOPLE).changes == (
        ("email", "normalize"),
        ("sex", "normalize"),
        ("age", "range"),
        ("city", "empty"),
    )


def test_columns_that_passed_already_keep_value_and_bits() -> None:
    declared = {
        "a": {
            "type": "string",
            "replace": {"matches": "^", "with": "~"},
            "pattern": {"matches": "~[a-z]", "otherwise": "drop"},
        },
        "b": {"type": "string", "normalize": ["trim"], "replace": {"matches": "^", "with": "~"}},
    }
    frame = frame_of(declared, a=["~x", "x"], b=["~y", "y"])
    rules = compiled(**declared)
    outcome = rules.settled(["b"], 0b101).apply(frame)
    assert outcome.kept.select("a", "b", "_chg").rows() == [("~x", "y", 0b101)]
    assert outcome.dropped == {"a.pattern": 1}
    untouched = rules.settled(["a", "b"], 0b101).apply(frame)
    assert untouched.kept.select("a", "b", "_chg").rows() == [("~x", "~y", 0b101), ("x", "y", 0b101)]
    assert rules.settled([], 0).apply(frame).kept.equals(rules.apply(frame).kept)


def test_phases_do_not_depend_on_the_order_written() -> None:
    rules = {
        "empty": {"replace": "none"},
        "normalize": ["trim"],
        "one_of": {"values": ["none"], "otherwise": "drop"},
    }
    for order in (list(rules), list(reversed(rules))):
        outcome = compiled(v={"type": "string", **{name: rules[name] for name in order}}).apply(
            pl.DataFrame({"v": ["  ", " none", "other"]})
        )
        assert outcome.kept["v"].to_list() == ["none", "none"]
        assert outcome.dropped == {"v.one_of": 1}


def test_a_record_that_fails_twice_counts_for_the_first_column() -> None:
    drop = {"type": "int64", "range": {"min": 0, "outside": "drop"}}
    reject = {"type": "int64", "one_of": {"values": [1], "otherwise": "reject"}}
    frame = pl.DataFrame({"a": [-1, -1, 1], "b": [-1, 1, -1]})
    outcome = compiled(a=drop, b=reject).apply(frame)
    assert outcome.dropped == {"a.range": 2}
    assert outcome.rejected["a"].to_list() == [1]
    outcome = compile_rules(columns_of({"b": reject, "a": drop}), RULES).apply(frame)
    assert outcome.dropped == {"a.range": 1}
    assert outcome.rejected["a"].to_list() == [-1, 1]


def test_a_reject_leaves_as_it_came_and_never_tells_the_value() -> None:
    outcome = compiled(
        v={"type": "string", "normalize": ["upper", {"email": {"strict": True}}]}, w={"type": "string"}
    ).apply(pl.DataFrame({"v": ["secret"], "w": ["w"], "_pos": [7]}))
    assert outcome.rejected.columns == ["v", "w", "_pos", REJECT_COLUMN, REJECT_RULE, REJECT_REASON]
    row = outcome.rejected.row(0, named=True)
    assert (row["v"], row["_pos"], row[REJECT_COLUMN], row[REJECT_RULE]) == ("secret", 7, "v", "normalize")
    assert "secret" not in row[REJECT_REASON].lower()
    assert "e-mail" in row[REJECT_REASON]


def test_deletions_are_cleaned_but_never_dropped() -> None:
    declared = compiled(
        key={"type": "string", "normalize": ["lower"]},
        v={"type": "int64", "empty": "drop"},
        w={"type": "int64"},
    )
    frame = pl.DataFrame(
        {"key": ["A", "B"], "v": [None, None], "w": [1, 1], "_op": [1, 0]},
        schema={"key": pl.String, "v": pl.Int64, "w": pl.Int64, "_op": pl.Int8},
    )
    outcome = declared.apply(frame)
    assert outcome.kept["key"].to_list() == ["a"]
    assert outcome.dropped == {"v.empty": 1}


def test_the_engines_columns_pass_untouched() -> None:
    frame = pl.DataFrame({"v": [1, 2], "_src": [0, 1], "_line": [5, 6]}, schema_overrides={"_src": pl.UInt16})
    kept = compiled(v={"type": "int64"}).apply(frame).kept
    assert kept.drop("_chg").equals(frame)
    assert kept["_chg"].to_list() == [0, 0]
    assert kept["_chg"].dtype == pl.UInt64


@pytest.mark.parametrize("count", [64, 65, 100])
def test_more_changes_than_bits_share_the_last_one(count: int) -> None:
    rules = compiled(**{f"c{i}": {"type": "string", "normalize": ["lower"]} for i in range(count)})
    assert len(rules.changes) == 64
    assert (rules.changes[-1] == FURTHER) == (count > 64)
    values = {f"c{i}": ["X" if i >= 63 else "x", "X" if i == 0 else "x"] for i in range(count)}
    assert rules.apply(pl.DataFrame(values)).kept["_chg"].to_list() == [1 << 63, 1]


def test_mistakes_name_place_and_remedy_all_at_once() -> None:
    told = mistakes_of(
        a={"type": "int64", "range": {"min": 0}},
        b={"type": "string", "range": {"min": 0, "outside": "drop"}},
        c={"type": "string", "rang": {}},
        d={"type": "int64", "range": {"min": 5, "max": 1, "outside": "drop"}},
        e={"type": "int64", "empty": {"replace": "x"}},
    )
    assert told[0] == "a.range.outside: is missing; add outside"
    assert "does not fit a column of type string" in told[1]
    assert "c.rang: is no rule; rules are correct, empty" in told[2]
    assert "min above its max" in told[3]
    assert told[4].startswith("e.empty: is not a whole number")
    assert len(told) == 5
