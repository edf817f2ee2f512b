"""A whole task over its source data: the rows that must be prepared, before anonymization, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.oracle import reading, relations, rules
from tests.oracle.conflicts import Merged, Record, merge
from tests.oracle.values import Unreadable, read
from tests.oracle.values import field as csv_field

Given = dict[str, Iterable[dict[str, Any] | None]]
"""`table/source`: records of a source that is no file, in the order in which it tells them."""


@dataclass
class Prepared:
    """What must stand in the review store. Rows under new keys hold `None` in their key columns."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    regenerated: list[dict[str, Any]] = field(default_factory=list)
    read: int = 0
    merged: int = 0
    rejected: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def prepared(self) -> int:
        return len(self.rows) + len(self.regenerated)

    @property
    def balanced(self) -> bool:
        return self.read == self.prepared + self.merged + self.rejected + self.dropped.total()


@dataclass
class Oracle:
    task: dict[str, Any]
    tables: dict[str, Prepared]


def load_task(path: Path) -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load(path.read_text())
    return task


def prepare(task: dict[str, Any], base: Path, given: Given | None = None) -> Oracle:
    """The oracle's answer; relative paths of sources are relative to `base`."""
    collected = {name: table for name, table in task["tables"].items() if "from" not in table}
    tables: dict[str, Prepared] = {}
    rows: relations.Rows = {}
    for name, table in collected.items():
        tables[name], merged = _collect(name, table, base, given or {}, let_go(task, name))
        rows[name], new = _transformed(tables[name], table, merged)
        tables[name].regenerated = new
        rows[name] += new
    alive, dropped = relations.settle(task, rows)
    for name, answer in tables.items():
        new_ones = set(map(id, answer.regenerated))
        answer.dropped += dropped[name]
        answer.rows = [row for row in alive[name] if id(row) not in new_ones]
        answer.regenerated = [row for row in alive[name] if id(row) in new_ones]
    for name in task["tables"].keys() - collected.keys():
        tables[name] = Prepared(rows=relations.derive(task, name, alive))
    for name in collected:
        assert tables[name].balanced, f"the oracle itself lost records of {name}"
    return Oracle(task, tables)


def let_go(task: dict[str, Any], name: str) -> set[str]:
    """Columns that are suppressed in every record, and that nothing else in the task names."""
    table = task["tables"][name]
    methods = table.get("anonymize", [])
    plain = [one for one in methods if one["method"] == "suppress" and not {"where", "rarer_than"} & one.keys()]
    if table.get("transform"):
        return set()
    elsewhere = repr([one for one in methods if one not in plain] + [table.get("primary_key")])
    named = repr([one for other, one in task["tables"].items() if other != name] + [table["columns"]])
    found = {column for one in plain for column in one["columns"]}
    return {
        column
        for column in found
        if repr(column) not in elsewhere
        and f"{name}.{column}" not in named
        and "references" not in table["columns"][column]
    }


def _collect(name: str, table: dict[str, Any], base: Path, given: Given, unseen: set[str]) -> tuple[Prepared, Merged]:
    answer, records = Prepared(), []
    for source, config in table["sources"].items():
        raws, text = _records(f"{name}/{source}", config, base, given)
        for position, raw in enumerate(raws):
            answer.read += 1
            try:
                records.append(_record(table, source, config, position, raw, text))
            except (Unreadable, rules.Rejected, rules.Dropped) as fell:
                if isinstance(fell, rules.Dropped):
                    answer.dropped[str(fell)] += 1
                else:
                    answer.rejected += 1
                if config.get("changes") and raw is not None:
                    records += _withdrawal(table, source, config, position, raw, text)
    merged = merge(table, records, unseen)
    answer.merged = merged.merged
    answer.dropped += merged.dropped
    return answer, merged


def _records(place: str, config: dict[str, Any], base: Path, given: Given) -> tuple[Iterable[Any], bool]:
    """A source's records, and whether its values are text."""
    if place in given:
        return given[place], False
    kind = config["connector"]
    return (one for file in reading.files(base / config["path"]) for one in reading.READERS[kind](file)), kind == "csv"


def _record(
    table: dict[str, Any],
    source: str,
    config: dict[str, Any],
    position: int,
    raw: dict[str, Any] | None,
    text: bool,
    fell: bool = False,
) -> Record:
    if raw is None:
        raise Unreadable("record")
    named = {config.get("rename", {}).get(name, name): value for name, value in raw.items()}
    typed = csv_field if text else read
    deletion = fell or _is_deletion(config, raw)
    row: dict[str, Any] = {}
    for name, column in table["columns"].items():
        try:
            row[name] = typed(column["type"], named.get(name), column.get("scale", 9))
        except Unreadable:
            if not fell:
                raise
            row[name] = None  # of a record that fell only the key is looked at, and its place among the changes
    row = rules.apply(table["columns"], row, deletion=deletion)
    primary = table.get("primary_key")
    if primary is not None:
        key = primary["column"]
        for name in [key] if isinstance(key, str) else key:
            if row[name] is None:
                raise rules.Rejected(f"{name}.primary_key")
    return Record(source, position, row, named, deletion)


def _withdrawal(
    table: dict[str, Any], source: str, config: dict[str, Any], position: int, raw: dict[str, Any], text: bool
) -> list[Record]:
    """A record of a source that tells changes fell: what it replaces stands no more, if its key can be told."""
    changes = config["changes"]
    if changes is not True and (by := changes.get("order_by")) is not None and not _has_place(table, by, config, raw):
        return []
    try:
        one = _record(table, source, config, position, raw, text, fell=True)
    except rules.Rejected:
        return []
    one.deletion = one.fell = True
    return [one]


def _has_place(table: dict[str, Any], by: str, config: dict[str, Any], raw: dict[str, Any]) -> bool:
    """Whether the column that orders changes could be read."""
    theirs = {ours: name for name, ours in config.get("rename", {}).items()}.get(by, by)
    try:
        return csv_field(table["columns"].get(by, {"type": "int64"})["type"], raw.get(theirs)) is not None
    except Unreadable:
        return False


def _is_deletion(config: dict[str, Any], raw: dict[str, Any]) -> bool:
    changes = config.get("changes")
    if not isinstance(changes, dict) or "delete" not in changes:
        return False
    equals = changes["delete"]["equals"]
    return raw.get(changes["delete"]["column"]) in ([equals] if isinstance(equals, str) else equals)


def _transformed(
    answer: Prepared, table: dict[str, Any], merged: Merged
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    steps = table.get("transform", [])
    rows, lost = relations.transform(merged.rows, steps)
    new, lost_new = relations.transform(merged.regenerated, steps)
    if lost + lost_new:
        answer.dropped["transform.filter"] += lost + lost_new
    return rows, new
