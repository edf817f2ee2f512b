"""Prepared rows against the oracle's: plain columns must be equal, anonymized ones show their method's properties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from tests.oracle.prepare import Oracle, Prepared
from tests.oracle.values import SCALE, Unreadable, read

Row = dict[str, Any]
SHOWN = 5


def differences(oracle: Oracle, name: str, exported: Iterable[Row]) -> list[str]:
    """What is wrong with the exported rows of a table; nothing, if they are what the oracle says."""
    table, want = oracle.tables[name], oracle.task["tables"][name]
    rows = [_typed(want, row) for row in exported]
    methods = _methods(want)
    found = [] if len(rows) == table.prepared else [f"{name}: {len(rows)} rows, the oracle has {table.prepared}"]
    found += _small_groups(name, want, rows)
    key = _key(want)
    if key and not set(key) & methods.keys():
        found += _keyed(name, key, methods, table, rows)
    else:
        found += _unkeyed(name, methods, table.rows + table.regenerated, rows)
    return found


def _key(table: dict[str, Any]) -> list[str]:
    column = table.get("primary_key", {}).get("column", [])
    return [column] if isinstance(column, str) else list(column)


def _methods(table: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Column: the method that acts on it and its options."""
    found: dict[str, tuple[str, Any]] = {}
    for step in table.get("anonymize", []):
        if "quasi_identifiers" in step:
            found |= dict.fromkeys(step["quasi_identifiers"], ("group", None))
            continue
        columns = step["columns"]
        options = columns if isinstance(columns, dict) else dict.fromkeys(columns)
        found |= {column: (step["method"], config) for column, config in options.items()}
    return found


def _typed(table: dict[str, Any], row: Row) -> Row:
    """Exported values as the types declared; columns that the task derives or groups stay as they came."""
    typed = {}
    texts = {name for step in table.get("anonymize", []) for name in step.get("quasi_identifiers", [])}
    for name, value in row.items():
        column = {} if name in texts else table.get("columns", {}).get(name, {})
        try:
            typed[name] = read(column["type"], value, column.get("scale", SCALE)) if column else value
        except Unreadable:
            typed[name] = f"unreadable: {value!r}"
    return typed


def _keyed(name: str, key: list[str], methods: dict[str, Any], table: Prepared, rows: list[Row]) -> list[str]:
    def of(row: Row) -> tuple[Any, ...]:
        return tuple(row.get(column) for column in key)

    found = []
    times = Counter(map(of, rows))
    if twice := [one for one, n in times.items() if n > 1]:
        found.append(f"{name}: {len(twice)} keys twice, as {twice[:SHOWN]}")
    expected = {of(row): row for row in table.rows}
    if missing := [one for one in expected if one not in times]:
        found.append(f"{name}: {len(missing)} keys missing, as {missing[:SHOWN]}")
    strange = [row for row in rows if of(row) not in expected]
    if len(strange) != len(table.regenerated):
        found.append(f"{name}: {len(strange)} unknown keys for {len(table.regenerated)} new ones, {strange[:SHOWN]}")
    if any(None in of(row) for row in strange):
        found.append(f"{name}: a row without a key")
    pairs = [(expected[of(row)], row) for row in rows if of(row) in expected]
    found += _plain_pairs(name, methods, pairs)
    new = [{c: v for c, v in row.items() if c not in key} for row in table.regenerated]
    found += _unkeyed(f"{name} (new keys)", methods, new, strange)
    for column, (method, config) in methods.items():
        found += [f"{name}.{column}: {wrong}" for wrong in _CHECKS[method](column, config, pairs)]
    permuted = [column for column, (method, _) in methods.items() if method == "permute"]
    for column in permuted:
        before = Counter(row[column] for row in table.rows + table.regenerated)
        if before != Counter(row.get(column) for row in rows):
            found.append(f"{name}.{column}: permuted into another multiset of values")
    return found


def _plain_pairs(name: str, methods: dict[str, Any], pairs: list[tuple[Row, Row]]) -> list[str]:
    wrong = [
        (column, want, got.get(column, "no such column"))
        for before, got in pairs
        for column, want in before.items()
        if column not in methods and not same(want, got.get(column))
    ]
    return [f"{name}: {len(wrong)} values differ, as {wrong[:SHOWN]}"] if wrong else []


def _unkeyed(name: str, methods: dict[str, Any], before: list[Row], rows: list[Row]) -> list[str]:
    columns = [column for column in (before[0] if before else {}) if column not in methods]
    want = Counter(tuple(plain(row[column]) for column in columns) for row in before)
    got = Counter(tuple(plain(row.get(column)) for column in columns) for row in rows)
    if want == got:
        return []
    return [f"{name}: missing {list((want - got).items())[:SHOWN]}, too many {list((got - want).items())[:SHOWN]}"]


def plain(value: Any) -> Any:
    """A form in which a value equals its exported twin: numbers as decimals, times as text."""
    if isinstance(value, str | bytes | bool | None):
        return _number(value)
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value)).normalize() + 0
    return value.isoformat()


def _number(value: Any) -> Any:
    """Derived decimals are exported as text."""
    if isinstance(value, str) and value and value.lstrip("-").replace(".", "", 1).isdigit() and value.isascii():
        return Decimal(value).normalize() + 0
    return value


def same(want: Any, got: Any) -> bool:
    return bool(want == got) or (not isinstance(want, str) and plain(want) == plain(got))


def _grouped(column: str, _config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    outside = [
        (before[column], got.get(column)) for before, got in pairs if not within(got.get(column), before[column])
    ]
    return [f"{len(outside)} values lie outside of their group, as {outside[:SHOWN]}"] if outside else []


def within(text: str | None, value: Any) -> bool:
    """Whether a group that is published as this text holds the value."""
    if text is None or value is None:
        return value is None and (text in (None, "*") or str(text).startswith("null|"))
    text = text.removeprefix("null|")
    if text == "*" or str(value) in text.split("|"):
        return True
    if not isinstance(value, int | float | Decimal):
        return False
    if text[0] == "<":
        return value < Decimal(text[1:])
    if text[:2] == ">=":
        return value >= Decimal(text[2:])
    low, dots, high = text.partition("..")
    if not dots:
        return Decimal(low) == value
    return Decimal(low) <= value and (value < Decimal(high[1:]) if high[0] == "<" else value <= Decimal(high))


def _small_groups(name: str, table: dict[str, Any], rows: list[Row]) -> list[str]:
    """Of rows that were to be grouped, groups with fewer than k."""
    found = []
    for step in table.get("anonymize", []):
        if "quasi_identifiers" not in step:
            continue
        sizes = Counter(tuple(row.get(column) for column in step["quasi_identifiers"]) for row in rows)
        small = [(group, n) for group, n in sizes.items() if n < step["k"]]
        found += [f"{name}: {len(small)} groups of fewer than {step['k']}, as {small[:SHOWN]}"] if small else []
    return found


def _suppressed(column: str, _config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    left = sum(got.get(column) is not None for _, got in pairs)
    return [f"{left} values not suppressed"] if left else []


def _tokens(column: str, _config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    forth: dict[Any, set[Any]] = {}
    back: dict[Any, set[Any]] = {}
    for before, got in pairs:
        forth.setdefault(before[column], set()).add(got[column])
        back.setdefault(got[column], set()).add(before[column])
    found = []
    if forth.pop(None, {None}) != {None} or back.pop(None, {None}) != {None}:
        found.append("null did not stay null")
    if any(len(tokens) > 1 for tokens in forth.values()):
        found.append("equal values got different tokens")
    if any(len(values) > 1 for values in back.values()):
        found.append("different values got one token")
    if any(str(value) in str(token) for token, values in back.items() for value in values if len(str(value)) > 3):
        found.append("a token shows its value")
    return found


def _steps(column: str, config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    step = config["step"]
    wrong = [
        (before[column], got[column])
        for before, got in pairs
        if (None if before[column] is None else before[column] // step * step) != got[column]
    ]
    return [f"{len(wrong)} values not at the foot of their step, as {wrong[:SHOWN]}"] if wrong else []


def _blurred(column: str, config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    share, unchanged, found = config["relative"], 0, []
    if [1 for before, got in pairs if (before[column] is None) != (got[column] is None)]:
        found.append("null did not stay null")
    values = [(b[column], g[column]) for b, g in pairs if b[column] is not None and g[column] is not None]
    far = [(v, g) for v, g in values if abs(g - v) > abs(v) * share * (1 + 1e-9) + 1e-9]
    unchanged = sum(v == g for v, g in values)
    if far:
        found.append(f"{len(far)} values blurred too far, as {far[:SHOWN]}")
    if len(values) >= 20 and unchanged > len(values) / 10:
        found.append(f"{unchanged} of {len(values)} values unchanged")
    return found


def _masked(column: str, config: Any, pairs: list[tuple[Row, Row]]) -> list[str]:
    keep, wrong = config["keep_last"], 0
    for before, got in pairs:
        raw, shown = before[column], got[column]
        if raw is None or shown is None:
            wrong += raw is not shown
        elif len(raw) > keep:
            wrong += not shown.endswith(raw[-keep:]) or len(set(shown[:-keep])) > 1 or shown == raw
        else:
            wrong += bool(raw) and shown == raw
    return [f"{wrong} values not masked"] if wrong else []


def _anything(_column: str, _config: Any, _pairs: list[tuple[Row, Row]]) -> list[str]:
    return []


_CHECKS: dict[str, Callable[[str, Any, list[tuple[Row, Row]]], list[str]]] = {
    "group": _grouped,
    "suppress": _suppressed,
    "tokenize": _tokens,
    "generalize": _steps,
    "perturb": _blurred,
    "mask": _masked,
    "permute": _anything,  # judged over the whole column
}
