"""One table's records brought together by primary key: changes, exact duplicates, conflicts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Record:
    """A record after the rules. `position` orders it within its source.

    One that fell tells that what it replaces stands no more; it was counted where it fell.
    """

    source: str
    position: int
    row: dict[str, Any]
    raw: dict[str, Any]
    deletion: bool = False
    fell: bool = False


@dataclass
class Merged:
    """`regenerated` are rows that keep_all gives new keys: their key columns hold `None`."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    regenerated: list[dict[str, Any]] = field(default_factory=list)
    merged: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def canonical(row: dict[str, Any], columns: list[str]) -> tuple[Any, ...]:
    """Rows in the order that decides between equals: column by column, null first, texts by their bytes."""
    return tuple(
        (row[name] is not None, row[name].encode() if isinstance(row[name], str) else row[name]) for name in columns
    )


def latest(records: list[Record], changes: dict[str, dict[str, Any]], key: list[str]) -> tuple[list[Record], int]:
    """Of every source that tells changes, the last record of each key, unless it is a deletion."""
    plain = [one for one in records if one.source not in changes]
    told: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for one in records:
        if one.source in changes:
            told[(one.source, *(one.row[name] for name in key))].append(one)
    for (source, *_), of_key in told.items():
        by = changes[source].get("order_by")
        last = max(of_key, key=lambda one: (_order(one, by), one.position))
        if not last.deletion:
            plain.append(last)
    return plain, len(records) - len(plain) - sum(one.fell for one in records)


def _order(record: Record, by: str | None) -> tuple[Any, ...]:
    if by is None:
        return ()
    value = record.row.get(by, record.raw.get(by))
    return (value is not None, value)


def merge(table: dict[str, Any], records: list[Record], unseen: Collection[str] = ()) -> Merged:
    """The table's rows, one for each key, by the strategy that its primary key declares.

    Where a source is preferred, columns that are `unseen` afterwards don't decide between its records.
    """
    columns, primary = list(table["columns"]), table.get("primary_key")
    if primary is None:
        return Merged(rows=[one.row for one in records])
    key = [primary["column"]] if isinstance(primary["column"], str) else list(primary["column"])
    sources = table["sources"]
    changes = {
        name: {} if source["changes"] is True else source["changes"]
        for name, source in sources.items()
        if source.get("changes")
    }
    present, superseded = latest(records, changes, key)
    result = Merged(merged=superseded)
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for one in present:
        groups[tuple(one.row[name] for name in key)].append(one)
    for group in groups.values():
        _resolve(result, group, columns, key, primary["conflicts"], list(sources), unseen)
    return result


def _resolve(
    result: Merged,
    group: list[Record],
    columns: list[str],
    key: list[str],
    strategy: Any,
    sources: list[str],
    unseen: Collection[str],
) -> None:
    distinct = {canonical(one.row, columns): one.row for one in group}
    if len(distinct) == 1:
        result.rows.append(group[0].row)
        result.merged += len(group) - 1
    elif strategy == "drop_all":
        result.dropped["primary_key.conflict"] += len(group)
    elif strategy == "keep_all":
        result.regenerated += [{**row, **dict.fromkeys(key)} for row in distinct.values()]
        result.merged += len(group) - len(distinct)
    else:
        ranked = [*strategy["prefer"], *(name for name in sources if name not in strategy["prefer"])]
        seen = [name for name in columns if name not in unseen]
        best = min(group, key=lambda one: (ranked.index(one.source), canonical(one.row, seen)))
        result.rows.append(best.row)
        result.merged += len(group) - 1
