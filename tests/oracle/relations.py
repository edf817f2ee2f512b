"""What holds between tables: references to be found, tables derived by joins and aggregates."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from tests.oracle.expressions import compile

Rows = dict[str, list[dict[str, Any]]]


def referring(task: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Table: its (column, table referred to, column referred to), in declared order."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, table in task["tables"].items():
        for column, config in table.get("columns", {}).items():
            if "references" in config:
                target, _, target_column = config["references"].partition(".")
                found.setdefault(name, []).append((column, target, target_column))
    return found


def settle(task: dict[str, Any], rows: Rows) -> tuple[Rows, dict[str, Counter[str]]]:
    """The greatest set of rows in which every reference is found; how many fell, by the first column that dangles."""
    edges, alive = referring(task), dict(rows)
    while True:
        present = _present(edges, alive)
        kept = {t: [row for row in alive[t] if _dangling(row, edges.get(t, []), present) is None] for t in alive}
        if all(len(kept[t]) == len(alive[t]) for t in alive):
            break
        alive = kept
    dropped: dict[str, Counter[str]] = {t: Counter() for t in alive}
    for name in edges:
        surviving = set(map(id, alive[name]))
        for row in rows[name]:
            if id(row) not in surviving:
                dropped[name][f"{_dangling(row, edges[name], present)}.references"] += 1
    return alive, dropped


def _present(edges: dict[str, list[tuple[str, str, str]]], alive: Rows) -> dict[tuple[str, str], set[Any]]:
    targets = {(target, column) for of_table in edges.values() for _, target, column in of_table}
    return {(t, c): {row[c] for row in alive[t] if row[c] is not None} for t, c in targets}


def _dangling(
    row: dict[str, Any], edges: list[tuple[str, str, str]], present: dict[tuple[str, str], set[Any]]
) -> str | None:
    for column, target, target_column in edges:
        if row[column] is not None and row[column] not in present[target, target_column]:
            return column
    return None


def derive(task: dict[str, Any], name: str, rows: Rows) -> list[dict[str, Any]]:
    """The rows of a derived table."""
    table = task["tables"][name]
    ((base, config),) = table["from"].items()
    config = config or {}
    joined = [{**row, **_qualified(base, row)} for row in rows[base]]
    for other, by in (config.get("join") or {}).items():
        joined = _join(joined, other, f"{base}.{by}", task["tables"][other], rows[other])
    for step in table.get("transform", []):
        joined = _step(joined, step)
    if _aggregate_of(table):
        family = [one for one in task["tables"].values() if _aggregate_of(one) and base in one["from"]]
        small = [one for one in family if _aggregate_of(one).get("small_groups") != "publish"]
        assert len(small) < 2, "what several tables tell of the same records is withheld by another oracle"
    return joined


def _aggregate_of(table: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next((step["aggregate"] for step in table.get("transform", []) if "aggregate" in step), {})
    return found


def _qualified(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {f"{table}.{column}": value for column, value in row.items()}


def _join(
    rows: list[dict[str, Any]], name: str, by: str, table: dict[str, Any], others: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    key = table["primary_key"]["column"]
    index = {row[key]: row for row in others if row[key] is not None}
    return [{**row, **_qualified(name, index[row[by]])} for row in rows if row[by] in index]


def _step(rows: list[dict[str, Any]], step: dict[str, Any]) -> list[dict[str, Any]]:
    if "aggregate" in step:
        return _aggregate(rows, step["aggregate"])
    return transform(rows, [step])[0]


def transform(rows: list[dict[str, Any]], steps: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Rows after filters and derived columns; how many were filtered out."""
    came = len(rows)
    for step in steps:
        if "filter" in step:
            holds = compile(step["filter"])
            rows = [row for row in rows if holds(row) is True]
        else:
            for name, text in step["derive"].items():
                value = compile(text)
                rows = [{**row, name: value(row)} for row in rows]
    return rows, came - len(rows)


def _aggregate(rows: list[dict[str, Any]], config: dict[str, Any]) -> list[dict[str, Any]]:
    by, small = config.get("by", []), config.get("small_groups", {})
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in by)].append(row)
    names = [name.rpartition(".")[2] for name in by]
    return [
        {
            **dict(zip(names, values, strict=True)),
            **{name: _fold(text, group) for name, text in config["columns"].items()},
        }
        for values, group in groups.items()
        if small == "publish" or _subjects(group, small) >= small.get("k", 5)
    ]


def _subjects(group: list[dict[str, Any]], small: dict[str, Any]) -> int:
    return len({row[small["subject"]] for row in group}) if "subject" in small else len(group)


def _fold(text: str, group: list[dict[str, Any]]) -> Any:
    name, _, inner = text.strip().removesuffix(")").partition("(")
    if inner.strip() == "*":
        return len(group)
    value = compile(inner)
    values = [found for row in group if (found := value(row)) is not None]
    if name == "count":
        return len(values)
    folds = {"sum": sum, "min": min, "max": max, "avg": lambda them: sum(them) / len(them)}
    return folds[name](values) if values else None
