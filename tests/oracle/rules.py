"""The field rules that the tests' tasks use, one record at a time.

A column's rules stand in the order: those that clean, then `empty`, then those that check. A record that
several rules fail counts for the first of them, in the order of columns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from tests.oracle.values import read

CLEAN = ("normalize", "correct", "replace")
KNOWN = (*CLEAN, "empty", "range", "pattern", "one_of")
_FORMS: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "lower": str.lower,
    "upper": str.upper,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "collapse": lambda text: re.sub(r"\s+", " ", text),
}


class Dropped(Exception):
    """Says by which rule a record is dropped."""


class Rejected(Exception):
    """Says by which rule a record becomes a dead letter."""


def apply(columns: dict[str, Any], record: dict[str, Any], *, deletion: bool = False) -> dict[str, Any]:
    """The record after the rules of all columns; raises for the first that it fails, unless it is a deletion."""
    cleaned = dict(record)
    for name, column in columns.items():
        try:
            cleaned[name] = _column(name, column, record[name])
        except (Dropped, Rejected):
            if not deletion:
                raise
    return cleaned


def _column(name: str, column: dict[str, Any], value: Any) -> Any:
    rules = {rule: config for rule, config in column.items() if rule not in ("type", "scale", "references")}
    unknown = rules.keys() - set(KNOWN)
    if unknown:
        raise AssertionError(f"the oracle does not know the rule {sorted(unknown)}")
    for rule in sorted(rules, key=lambda rule: (_phase(rule), list(rules).index(rule))):
        value = _RULES[rule](f"{name}.{rule}", column, rules[rule], value)
    return value


def _phase(rule: str) -> int:
    return 0 if rule in CLEAN else 1 if rule == "empty" else 2


def _normalize(_name: str, _column: dict[str, Any], config: list[str], value: Any) -> Any:
    for form in config if value is not None else ():
        value = _FORMS[form](value)
    return value


def _correct(name: str, column: dict[str, Any], config: dict[str, Any], value: Any) -> Any:
    mapping = config["map"]
    if value is None or value in mapping:
        return mapping.get(value, value)
    return value if config.get("otherwise", "keep") == "keep" else _otherwise(name, column, config, value)


def _replace(_name: str, _column: dict[str, Any], config: Any, value: Any) -> Any:
    for part in [config] if isinstance(config, dict) else config:
        if value is not None:
            value = (
                value.replace(part["matches"], part["with"])
                if part.get("literal")
                else re.sub(part["matches"], part["with"], value)
            )
    return value


def _empty(name: str, column: dict[str, Any], config: Any, value: Any) -> Any:
    if value is not None and not (column["type"] == "string" and not value.strip()):
        return value
    if config == "drop":
        raise Dropped(name)
    return value if config == "ignore" else read(column["type"], config["replace"])


def _range(name: str, column: dict[str, Any], config: dict[str, Any], value: Any) -> Any:
    if value is None:
        return None
    low, high = (read(column["type"], config.get(side)) for side in ("min", "max"))
    if value != value:  # NaN lies in no range and has no nearest bound
        raise (Dropped if config["outside"] == "drop" else Rejected)(name)
    below, above = low is not None and value < low, high is not None and value > high
    if (below or above) and config["outside"] == "drop":
        raise Dropped(name)
    return low if below else high if above else value


def _pattern(name: str, column: dict[str, Any], config: dict[str, Any], value: Any) -> Any:
    if value is None or re.fullmatch(config["matches"], value):
        return value
    return _otherwise(name, column, config, value)


def _one_of(name: str, column: dict[str, Any], config: dict[str, Any], value: Any) -> Any:
    if value is None or value in config["values"]:
        return value
    return _otherwise(name, column, config, value)


def _otherwise(name: str, column: dict[str, Any], config: dict[str, Any], value: Any) -> Any:
    otherwise = config["otherwise"]
    if isinstance(otherwise, dict):
        return read(column["type"], otherwise["replace"])
    raise (Dropped if otherwise == "drop" else Rejected)(name)


_RULES: dict[str, Callable[[str, dict[str, Any], Any, Any], Any]] = {
    "normalize": _normalize,
    "correct": _correct,
    "replace": _replace,
    "empty": _empty,
    "range": _range,
    "pattern": _pattern,
    "one_of": _one_of,
}
