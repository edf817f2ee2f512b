"""What is kept of releases, and what comparing two of them tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from processors.privacy.releases.differences import CAME, COMMON, LEFT, OUTSIDE_AFTER, UNDECIDED, VALUE
from processors.privacy.releases.versions import (
    COUNT,
    IDENTITY,
    MOVED,
    REST,
    VALUES,
    WHO,
    Shape,
    Version,
    in_words,
    told,
)

SHAPE = Shape("r1", ("age", "ill"), ("age",), ("ill",), k=3, distinct=(2,), kinds={"age": "int64"})


def version(rows: list[tuple[Any, ...]], *names: str, **changes: Any) -> Version:
    kinds = {name: pl.String if name in ("age", "ill") else pl.Int64 for name in (*names, COUNT)}
    return Version(replace(SHAPE, **changes), pl.DataFrame(rows, schema=kinds, orient="row"))


PLAIN = [("30..39", "flu", 3), ("30..39", "cold", 2), ("<30", "flu", 2), ("<30", "cold", 2)]


def plain(rows: list[tuple[Any, ...]] = PLAIN, **changes: Any) -> Version:
    return version(rows, "age", "ill", **changes)


def test_what_is_kept_is_read_as_it_was() -> None:
    one = plain(hierarchies={"age": [["1", "*"]]}, identity=("id",), scope="run")
    again = Version.read(one.shape.document(), one.content)
    assert again.shape == one.shape
    assert again.rows.equals(one.rows)
    assert one.height == 9


def test_the_digest_is_of_the_rows() -> None:
    assert plain().digest == plain(PLAIN[::-1], run="r2", k=9).digest
    assert plain(scope="run").digest != plain(scope="run", run="r2").digest
    others = [*PLAIN[1:], ("30..39", "flu", 4)], [*PLAIN[1:], (None, "flu", 3)], [*PLAIN[1:], ("", "flu", 3)]
    assert len({plain(rows).digest for rows in (PLAIN, *others)}) == 4


def test_names_are_read_as_regions() -> None:
    """The group from 30 on is cut in two; by equal names alone all of it would have left and others come."""
    cut = [("30..34", "flu", 3), ("35..39", "cold", 2), *PLAIN[2:]]
    assert told(plain(), plain()) == {}
    assert told(plain(), plain(cut)) == {OUTSIDE_AFTER: 1}
    assert told(plain(), plain([("20..29", "flu", 2), ("20..29", "cold", 2), *PLAIN[:2]])) == {}


def test_the_weaker_k_counts() -> None:
    more = [*PLAIN, ("<30", "flu", 2), ("<30", "cold", 2)]
    assert told(plain(k=4), plain(more, k=4)) == {}
    assert told(plain(k=5), plain(more, k=4)) == {}
    assert told(plain(k=5), plain(more, k=5)) == {CAME: 1}
    assert told(plain(k=2, rows_of_one=4), plain(more, k=2)) == {CAME: 1}


def test_the_same_records_are_asked_by_all_columns_too() -> None:
    one = [("<30", "flu", 7, 4), ("<30", "cold", 8, 3)]
    other = [("<30", "flu", 7, 3), ("<30", "flu", 9, 4), ("<30", "cold", 8, 6)]
    sides = [version(rows, "age", "ill", REST) for rows in (one, other)]
    assert told(*sides) == {LEFT: 1, VALUE: 1}
    bare = [Version(one.shape, one.rows.drop(REST)) for one in sides]
    assert told(*bare) == {}


@pytest.mark.parametrize(
    ("scope", "run", "linked"), [("task", "r2", True), ("run", "r1", True), ("run", "r2", False), ("", "r1", False)]
)
def test_rows_are_linked_where_the_identity_is_the_same(scope: Any, run: str, linked: bool) -> None:
    rows = [("<30" if n < 4 else "30..39", "flu" if n % 2 else "cold", n, n // 1, 1) for n in range(8)]
    moved = [({0: "30..39", 4: "<30"}.get(n, age), ill, n, n, 1) for age, ill, n, _, _ in rows]
    names = ("age", "ill", IDENTITY, WHO)
    one = version(rows, *names, identity=("id",), scope=scope)
    other = version(moved, *names, identity=("id",), scope=scope, run=run)
    assert told(one, other) == ({COMMON: 2, VALUE: 2} if linked else {})


def test_a_region_that_is_a_plain_column_now_is_not_decided() -> None:
    other = replace(SHAPE, quasi_identifiers=("ill",), sensitive=(), distinct=(), kinds={})
    assert told(plain(), Version(other, plain().rows)) == {UNDECIDED: 1}
    assert told(plain(), Version(replace(SHAPE, apart=True), plain().rows)) == {UNDECIDED: 1}


@pytest.mark.parametrize("key", [IDENTITY, REST])
def test_rows_apart_stay_among_the_same_values(key: str) -> None:
    def apart(*rows: tuple[int, int, int]) -> Version:
        options: dict[str, Any] = {"identity": ("id",), "scope": "task"} if key == IDENTITY else {}
        return version([*rows], key, VALUES, apart=True, **options)

    one = apart((1, 10, 1), (2, 10, 1), (3, 20, 2))
    assert told(one, apart((1, 10, 1), (2, 10, 1), (3, 20, 2), (4, 30, 2))) == {}
    assert told(one, apart((3, 20, 1))) == {}
    assert told(one, apart((1, 20, 1), (2, 10, 1), (3, 20, 1), (3, 10, 1))) == {MOVED: 2}
    assert in_words({MOVED: 1200, UNDECIDED: 1}) == (
        "1,200 records that stand among other values now, 1 that are not decided"
    )
