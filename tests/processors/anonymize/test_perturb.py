"""Noise by its statistics, its bounds and what it is tied to."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]


@pytest.mark.parametrize("distribution", ["uniform", "gaussian", "laplace"])
@pytest.mark.parametrize("kind", ["float64", "int64", "decimal"])
def test_noise_keeps_the_mean_and_has_its_scale(run: Run, kind: str, distribution: str) -> None:
    count = 40_000
    values: list[Any] = [Decimal(100)] * count if kind == "decimal" else [100] * count
    noise = {"absolute": 5, "distribution": distribution}
    out = run(kind, values, method="perturb", columns={"v": noise}).cast(pl.Float64)
    spread = {"uniform": 5 / 3**0.5, "gaussian": 5.0, "laplace": 5 * 2**0.5}[distribution]
    assert abs(out.mean() - 100) < 5 * spread / count**0.5  # type: ignore[operator]
    assert abs(out.std() / spread - 1) < 0.04  # type: ignore[operator]
    if distribution == "uniform":
        assert out.is_between(95, 105).all()


def law(distribution: str, scale: float) -> dict[int, float]:
    """The chance of each whole number, by the book."""
    far = range(-math.ceil(40 * scale) - 2, math.ceil(40 * scale) + 3)
    if distribution == "laplace":
        weights = {n: math.exp(-abs(n) / scale) for n in far}
    elif distribution == "gaussian":
        weights = {n: math.exp(-n * n / (2 * scale * scale)) for n in far}
    else:  # between -scale and scale, to either neighbour as often as it is near it
        steps = [(2 * i + 1) / 2000 * scale - scale for i in range(2000)]
        weights = {n: sum(max(0.0, 1 - abs(n - step)) for step in steps) for n in far}
    whole = sum(weights.values())
    return {n: weight / whole for n, weight in weights.items()}


@pytest.mark.parametrize("distribution", ["uniform", "gaussian", "laplace"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_of_whole_numbers_is_of_a_law_of_whole_numbers(
    run: Run, distribution: str, scale: float, sign: int
) -> None:
    count, around = 60_000, sign * 1000
    by = {"absolute": scale} if sign > 0 else {"relative": scale / 1000}
    out = run("int64", [around] * count, method="perturb", columns={"v": {**by, "distribution": distribution}})
    found, chances = Counter((out - around).to_list()), law(distribution, scale)
    mean = sum(n * seen for n, seen in found.items()) / count
    spread = sum(n * n * chance for n, chance in chances.items())
    assert abs(mean) < 5 * math.sqrt(spread / count)
    variance = sum(n * n * seen for n, seen in found.items()) / count
    fourth = sum(n**4 * chance for n, chance in chances.items())
    assert abs(variance - spread) < 5 * math.sqrt(max(fourth - spread**2, 1e-6) / count)
    for n, chance in chances.items():
        assert abs(found[n] - count * chance) < 5 * math.sqrt(count * chance) + 1, n
    assert sum(found[n] for n in chances) == count


def test_records_draw_alone_what_they_draw_among_others(compiled: Compiled) -> None:
    """However often others have to draw anew."""
    columns = {"v": {"type": "int64"}}
    methods = compiled(columns, {"method": "perturb", "columns": {"v": {"relative": 0.3, "distribution": "gaussian"}}})
    frame = pl.DataFrame({"v": [None if n % 7 == 0 else n - 50 for n in range(200)], "_id": range(200)})
    whole = methods.apply(frame, KEY, window=True)["v"]
    for n in range(0, 200, 9):
        assert methods.apply(frame[n : n + 1], KEY, window=False)["v"].to_list() == [whole[n]]
    assert whole[50] == 0, "of nothing no share is drawn"
    assert whole.null_count() == 29


def test_relative_noise_stays_within_its_share_and_moves_values(run: Run) -> None:
    values = [float(i) for i in range(-1000, 1001)]
    out = run("float64", values, method="perturb", columns={"v": {"relative": 0.05}})
    frame = pl.DataFrame({"old": values, "new": out})
    assert frame.select(((pl.col("new") - pl.col("old")).abs() <= pl.col("old").abs() * 0.05 + 1e-9).all()).item()
    assert (frame["old"] != frame["new"]).sum() == 2000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf])), max_size=10),
    st.sampled_from([(-5.0, 5.0), (None, 3.0), (0.0, None)]),
    st.sampled_from(["uniform", "gaussian", "laplace"]),
)
def test_bounds_hold_and_what_is_no_number_stays(
    run: Run, values: list[float | None], bounds: tuple[float | None, float | None], distribution: str
) -> None:
    low, high = bounds
    noise = {"absolute": 50, "distribution": distribution, "min": low, "max": high}
    for old, new in zip(values, run("float64", values, method="perturb", columns={"v": noise}), strict=True):
        if old is None or not math.isfinite(old):
            assert str(new) == str(old)
        else:
            assert (-math.inf if low is None else low) <= new <= (math.inf if high is None else high)


def test_reflection_piles_nothing_up_at_a_bound(run: Run) -> None:
    out = run("int64", [0] * 20_000, method="perturb", columns={"v": {"absolute": 10, "min": 0, "max": 100}})
    counts = dict(out.value_counts().iter_rows())
    assert set(counts) == set(range(11))
    assert counts[0] < 1.2 * counts[1]


def test_noise_at_the_edges_of_a_type(run: Run) -> None:
    edges = [-(2**63), 2**63 - 1, 2**53 + 1]
    out = run("int64", edges, method="perturb", columns={"v": {"absolute": 3}})
    assert all(abs(a - b) <= 4 for a, b in zip(edges, out, strict=True))
    assert run("int64", edges, method="perturb", columns={"v": {"relative": 0.5}}).null_count() == 0
    largest = Decimal("9" * 36 + ".99")
    assert run("decimal", [largest], method="perturb", columns={"v": {"absolute": 0.01}})[0] <= largest
    days = [dt.date(1, 1, 1), dt.date(9999, 12, 31)]
    assert all(
        abs((a - b).days) <= 6
        for a, b in zip(days, run("date", days, method="perturb", columns={"v": {"absolute": 5}}), strict=True)
    )
    moments = [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 100
    moved = run("timestamp", moments, method="perturb", columns={"v": {"absolute": 60}})
    assert moved.n_unique() == 100
    assert all(abs((a - b).total_seconds()) <= 60 for a, b in zip(moments, moved, strict=True))


def test_noise_belongs_to_the_record_the_column_the_table_and_the_run(compiled: Compiled) -> None:
    columns = {"v": {"type": "float64"}, "w": {"type": "float64"}}
    method = {"method": "perturb", "columns": {"v": {"absolute": 1}, "w": {"absolute": 1}}}
    frame = pl.DataFrame({"v": [1.0] * 100, "w": [1.0] * 100, "_id": range(100)})
    out = compiled(columns, method).apply(frame, KEY, window=True)
    assert out["v"].n_unique() == 100
    assert not set(out["v"]) & set(out["w"])
    assert not set(out["v"]) & set(compiled(columns, method, table="u").apply(frame, KEY, window=True)["v"])
    assert not set(out["v"]) & set(compiled(columns, method).apply(frame, OTHER, window=True)["v"])
    assert compiled(columns, method).apply(frame[40:60], KEY, window=False).equals(out[40:60])


@pytest.mark.parametrize(
    ("kind", "noise", "told"),
    [
        ("float64", {"absolute": 0}, "greater than 0"),
        ("float64", {"absolute": 1, "min": 1, "max": 1}, "not below"),
        ("float64", {"absolute": 1, "min": -1e308, "max": 1e308}, "too far apart"),
        ("int64", {"absolute": 1, "min": 0.5}, "not whole"),
        ("int64", {"absolute": 1, "min": 1e19}, "not whole"),
        ("decimal", {"absolute": 1, "max": 1e37}, "out of reach"),
        ("date", {"relative": 0.1}, "no share"),
        ("timestamp", {"absolute": 1, "min": 0}, "bounds for a moment"),
        ("string", {"absolute": 1}, "of type string"),
    ],
)
def test_noise_that_makes_no_sense(wrong: WrongFor, kind: str, noise: dict[str, Any], told: str) -> None:
    assert told in wrong({"v": {"type": kind}}, {"method": "perturb", "columns": {"v": noise}})[0]
