"""Epoch by epoch, with parents and children that come late, change and go: always what all at once gives."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.merge.resolve import IDENT
from processors.references.related import Survivors, difference, rows_of, survive
from processors.references.survivors import Reference
from processors.segments.format import Segment, build, from_bytes
from schemas.columns import HASH, OP, POSITION

KEY = bytes(range(32))
LINKS = [Reference("child", "up", "parent", "id"), Reference("parent", "next", "parent", "id")]
NEEDED = {"parent": ("id", "next"), "child": ("up",)}
SCHEMA: dict[str, Any] = {HASH: pl.UInt64, "id": pl.Int64, "next": pl.Int64, "up": pl.Int64, "text": pl.String}

ids = st.none() | st.integers(0, 5)
change = st.tuples(
    st.sampled_from(["parent", "child"]),
    st.integers(0, 7),  # identity
    st.none() | st.tuples(ids, ids, ids, st.sampled_from("xyz")),  # None: it goes
)
epochs = st.lists(st.lists(change, max_size=8), min_size=1, max_size=6)
Rows = dict[str, dict[int, dict[str, Any]]]


def segment(rows: dict[int, dict[str, Any] | None], close: int) -> Segment:
    """As the merge stage sends it: of one epoch one state of each identity."""
    found = [{HASH: identity, **(row or {}), OP: int(row is None)} for identity, row in rows.items()]
    frame = pl.DataFrame(found, schema={**SCHEMA, OP: pl.Int8}).with_columns(
        pl.lit(close, dtype=pl.Int64).alias(POSITION)
    )
    return from_bytes(build(frame.sort(HASH), KEY, 3), KEY)


def surviving(tables: Rows) -> Rows:
    """The oracle: whatever refers to nothing goes, again and again."""
    alive = {name: dict(rows) for name, rows in tables.items()}
    while True:
        known = {row["id"] for row in alive["parent"].values()}
        fallen = [
            (name, identity)
            for name, column in (("child", "up"), ("parent", "next"))
            for identity, row in alive[name].items()
            if row[column] is not None and row[column] not in known
        ]
        if not fallen:
            return alive
        for name, identity in fallen:
            del alive[name][identity]


def play(stored: Rows, name: str, segments: list[Segment], was: Survivors | None, now: Survivors, whole: bool) -> None:
    told = difference(was.rows.get(name) if was else None, now.rows.get(name))
    for identity in told.gone.get_column(IDENT):
        del stored[name][identity]
    for frame in rows_of(segments, told.appeared, everything=whole):
        for row in frame.to_dicts():
            stored[name][row[HASH]] = {column: row[column] for column in ("id", "next", "up", "text")}


@settings(max_examples=150, deadline=None)
@given(epochs, st.booleans())
def test_epochs_add_up_to_what_survives_of_the_whole(told: list[list[Any]], whole: bool) -> None:
    truth: Rows = {"parent": {}, "child": {}}
    stored: Rows = {"parent": {}, "child": {}}
    segments: dict[str, list[Segment]] = {"parent": [], "child": []}
    was: Survivors | None = None
    for close, changes in enumerate(told):
        news: dict[str, dict[int, dict[str, Any] | None]] = {"parent": {}, "child": {}}
        for name, identity, values in changes:
            row = None if values is None else dict(zip(("id", "next", "up", "text"), values, strict=True))
            news[name][identity] = row
            if row is None:
                truth[name].pop(identity, None)
            else:
                truth[name][identity] = row
        for name, rows in news.items():
            if rows:
                segments[name].append(segment(rows, close))
        now = survive(segments, LINKS, NEEDED)
        for name in segments:
            play(stored, name, segments[name], was, now, whole)
        was = now
        assert stored == surviving(truth)
        fell = sum(sum(rules.values()) for rules in now.dropped.values())
        assert fell == sum(len(truth[name]) - len(stored[name]) for name in truth)


def test_a_child_waits_for_its_parent_and_goes_with_it() -> None:
    child = segment({1: {"up": 7}}, 0)
    alone = survive({"parent": [], "child": [child]}, LINKS, NEEDED)
    assert alone.rows["child"].height == 0
    assert alone.dropped["child"] == {"up.references": 1}
    parent = segment({9: {"id": 7}}, 1)
    both = survive({"parent": [parent], "child": [child]}, LINKS, NEEDED)
    assert difference(alone.rows.get("child"), both.rows["child"]).appeared[HASH].to_list() == [1]
    gone = survive({"parent": [parent, segment({9: None}, 2)], "child": [child]}, LINKS, NEEDED)
    assert difference(both.rows["child"], gone.rows["child"]).gone[IDENT].to_list() == [1]
