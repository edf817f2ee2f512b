"""Permutations keep values, break links, and are uniform."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]


def test_a_permutation_keeps_the_multiset_and_breaks_the_link(run: Run) -> None:
    values = list(range(1000))
    out = run("int64", values, method="permute", columns=["v"])
    assert sorted(out) == values
    assert sum(a == b for a, b in zip(values, out, strict=True)) < 10
    assert out.to_list() != run("int64", values, key=OTHER, method="permute", columns=["v"]).to_list()


def test_every_order_is_equally_likely(run: Run) -> None:
    seen = [tuple(run("int64", [0, 1, 2], key=i.to_bytes(32), method="permute", columns=["v"])) for i in range(1200)]
    counts = [seen.count(order) for order in set(seen)]
    assert len(counts) == 6
    assert sum((n - 200) ** 2 / 200 for n in counts) < 26  # chi-square with 5 degrees, p about 1e-4


def test_linked_columns_move_together_others_apart(compiled: Compiled) -> None:
    columns = {"a": {"type": "int64"}, "b": {"type": "int64"}}
    frame = pl.DataFrame({"a": range(200), "b": range(200), "_id": range(200)})
    linked = compiled(columns, {"method": "permute", "columns": ["a", "b"], "linked": True}).apply(frame, KEY, False)
    assert linked["a"].equals(linked["b"].alias("a"))
    apart = compiled(columns, {"method": "permute", "columns": ["a", "b"]}).apply(frame, KEY, False)
    assert (apart["a"] == apart["b"]).sum() < 10


def test_a_window_below_the_minimum_is_suppressed(run: Run) -> None:
    assert run("int64", range(49), window=True, method="permute", columns=["v"]).null_count() == 49
    assert run("int64", range(50), window=True, method="permute", columns=["v"]).null_count() == 0
    assert run("int64", range(3), window=False, method="permute", columns=["v"]).null_count() == 0
    assert run("int64", range(9), window=True, method="permute", columns=["v"], minimum=9).null_count() == 0


def test_deletions_take_no_part(compiled: Compiled) -> None:
    frame = pl.DataFrame({"v": range(100), "_id": range(100), "_op": [i % 2 for i in range(100)]})
    out = compiled({"v": {"type": "int64"}}, {"method": "permute", "columns": ["v"]}).apply(frame, KEY, window=True)
    assert sorted(out.filter(pl.col("_op") == 0)["v"]) == list(range(0, 100, 2))
    assert out.filter(pl.col("_op") == 1)["v"].null_count() == 50


def test_values_stay_within_their_group(compiled: Compiled) -> None:
    columns = {"g": {"type": "string"}, "h": {"type": "int64"}, "v": {"type": "int64"}}
    method = {"method": "permute", "columns": ["v"], "within": ["g", "h"], "minimum": 20}
    rows = [(group, number) for group in ("a", "b", None) for number in (1, 2)]
    frame = pl.DataFrame(
        [
            (group, number, 1000 * i + j, 6 * j + i)
            for i, (group, number) in enumerate(rows)
            for j in range(10 * (i + 1))
        ],
        schema={"g": pl.String, "h": pl.Int64, "v": pl.Int64, "_id": pl.Int64},
        orient="row",
    )
    out = compiled(columns, method).apply(frame, KEY, window=True)
    assert out["v"].head(10).null_count() == 10  # the group of ten
    large = pl.DataFrame({"old": frame["v"], "new": out["v"]})[10:]
    assert sorted(large["new"]) == large["old"].to_list()
    assert large.select((pl.col("old") // 1000 == pl.col("new") // 1000).all()).item()
    assert large.select((pl.col("old") == pl.col("new")).sum()).item() < 20
    assert compiled(columns, method).apply(frame, KEY, window=False)["v"].null_count() == 0


def test_groups_that_make_no_sense(wrong: Callable[..., list[str]]) -> None:
    columns = {"v": {"type": "int64"}}
    (mistake,) = wrong(columns, {"method": "permute", "columns": ["v"], "within": ["v"]})
    assert mistake == "0.within: v is permuted within itself; name other columns"
    (mistake,) = wrong(columns, {"method": "permute", "columns": ["v"], "within": ["g"]})
    assert mistake.startswith("0.within.0: g is no column of the table")
