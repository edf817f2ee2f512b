"""Each method against a plain oracle, statistics and its promises."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
from processors.anonymize.generalize import Generalize
from processors.anonymize.protocol import Anonymization
from processors.anonymize.runner import CompiledMethods, compile_methods, embed_files
from processors.wrong_config import ConfigError, MisfitError
from schemas.columns import polars_type
from schemas.discovery import discover
from schemas.task.model import Column, Method

METHODS = discover(processors.anonymize, Anonymization)
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def compiled(columns: dict[str, dict[str, Any]], *methods: dict[str, Any], table: str = "t") -> CompiledMethods:
    declared = {name: Column.model_validate(raw) for name, raw in columns.items()}
    return compile_methods(table, declared, [Method(**raw) for raw in methods], METHODS)


def run(
    kind: str, values: Any, /, key: bytes = KEY, window: bool = False, table: str = "t", **method: Any
) -> pl.Series:
    column = Column(type=kind, scale=2)  # type: ignore[arg-type]  # parametrised
    series = pl.Series("v", values, dtype=polars_type(column.type, 2))
    frame = pl.DataFrame({"v": series, "_id": pl.int_range(len(series), eager=True)})
    return compile_methods(table, {"v": column}, [Method(**method)], METHODS).apply(frame, key, window)["v"]


def wrong(columns: dict[str, dict[str, Any]], *methods: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compiled(columns, *methods)
    return [str(one) for one in caught.value.mistakes]


# tokens


def test_tokens_join_across_tables_and_types_within_a_run_only() -> None:
    method = {"method": "tokenize", "columns": ["v"]}
    texts = run("string", ["5", "6", None, ""], **method)
    numbers = run("int64", [5, 6, None], table="another", **method)
    assert texts[:3].to_list() == numbers.to_list()
    assert texts[2] is None
    assert texts.drop_nulls().str.contains("^tok_[0-9a-f]{32}$").all()
    assert not set(texts.drop_nulls()) & set(run("string", ["5", "6", ""], key=OTHER, **method))
    assert not set(texts.drop_nulls()) & set(run("string", ["5", "6", ""], domain="d", **method))


def test_distinct_values_have_distinct_tokens() -> None:
    values = [f"user{i}@example.org" for i in range(50_000)]
    assert run("string", values, method="tokenize", columns=["v"]).n_unique() == 50_000


def test_a_dictionary_without_the_key_finds_nothing() -> None:
    secret = "ada@example.org"
    token = run("string", [secret], method="tokenize", columns=["v"])[0].removeprefix("tok_")
    guesses = {hashlib.new(name, secret.encode()).hexdigest()[:32] for name in ("md5", "sha1", "sha256", "sha512")}
    guesses |= {
        run("string", [secret], key=bytes([i]) * 32, method="tokenize", columns=["v"])[0].removeprefix("tok_")
        for i in range(64)
    }
    assert token not in guesses


# masks


def masked(value: str | None, keep_first: int, keep_last: int) -> str | None:
    if value is None:
        return None
    kept = keep_first + keep_last
    if not kept or len(value) < 2 * kept:
        return "*" * 10
    return value[:keep_first] + "*" * (10 - kept) + value[len(value) - keep_last :]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), max_size=8), st.integers(0, 3), st.integers(0, 3))
def test_mask_equals_the_oracle(values: list[str | None], keep_first: int, keep_last: int) -> None:
    style = {"keep_first": keep_first, "keep_last": keep_last}
    out = run("string", values, method="mask", columns={"v": style})
    assert out.to_list() == [masked(value, keep_first, keep_last) for value in values]


def test_a_mask_of_the_same_length() -> None:
    style = {"keep_last": 1, "length": "same", "char": "$"}
    assert run("string", ["äbc\n", "a", "", None], method="mask", columns={"v": style}).to_list() == [
        "$$$\n",
        "$",
        "",
        None,
    ]


def test_mask_of_an_address_hides_its_domain_unless_asked() -> None:
    style = {"form": "email", "length": 4}
    assert run("string", ["a@b.org", "x@y@z"], method="mask", columns={"v": style}).to_list() == ["****@***"] * 2
    style = {"form": "email", "length": 4, "keep_domain": True}  # type: ignore[dict-item]  # mixed on purpose
    assert run("string", ["a@b.org", "none"], method="mask", columns={"v": style}).to_list() == ["****@b.org", "****"]


# groups


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))), st.sampled_from([1, 2, 7, 10, 1000]))
def test_steps_of_integers(values: list[int | None], step: int) -> None:
    out = run("int64", values, method="generalize", columns={"v": {"step": step}})
    assert out.to_list() == [None if v is None else max(v // step * step, -(2**63)) for v in values]


def test_steps_of_floats_and_decimals() -> None:
    values = [0.3, -0.05, 1e300, math.inf, None]
    out = run("float64", values, method="generalize", columns={"v": {"step": 0.1}})
    assert out.to_list()[:2] == [0.3, -0.1] or out.to_list()[:2] == [0.2, -0.1]
    assert out.to_list()[3:] == [math.inf, None]
    assert math.isnan(run("float64", [math.nan], method="generalize", columns={"v": {"step": 5}})[0])
    decimals = [Decimal("1.27"), Decimal("-1.27"), Decimal("0.50"), None]
    out = run("decimal", decimals, method="generalize", columns={"v": {"step": "0.5"}})
    assert out.to_list() == [Decimal("1.00"), Decimal("-1.50"), Decimal("0.50"), None]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("day", dt.date(2024, 5, 17)),
        ("week", dt.date(2024, 5, 13)),
        ("month", dt.date(2024, 5, 1)),
        ("quarter", dt.date(2024, 4, 1)),
        ("year", dt.date(2024, 1, 1)),
        ("decade", dt.date(2020, 1, 1)),
    ],
)
def test_calendar_units(unit: str, expected: dt.date) -> None:
    method = {"method": "generalize", "columns": {"v": {"unit": unit}}}
    assert run("date", [dt.date(2024, 5, 17), None], **method).to_list() == [expected, None]
    moment = dt.datetime(2024, 5, 17, 13, 5, 9, tzinfo=dt.UTC)
    midnight = dt.datetime(expected.year, expected.month, expected.day, tzinfo=dt.UTC)
    assert run("timestamp", [moment, None], **method).to_list() == [midnight, None]


def test_networks() -> None:
    values = ["192.0.2.200", " 10.0.0.1", "2001:db8:1:2::3", "::ffff:192.0.2.9", "300.1.1.1", "", None]
    out = run("string", values, method="generalize", columns={"v": {"prefix": 16, "prefix6": 32}})
    assert out.to_list() == ["192.0.0.0/16", "10.0.0.0/16", "2001:db8::/32", "192.0.0.0/16", None, None, None]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.ip_addresses(v=4).map(str) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){2,4}", fullmatch=True)),
    st.integers(0, 32),
)
def test_networks_equal_the_library(values: list[str], bits: int) -> None:
    expected = []
    for value in values:
        try:
            expected.append(str(ipaddress.ip_network(f"{value}/{bits}", strict=False)))
        except ValueError:
            expected.append(None)
    assert run("string", values, method="generalize", columns={"v": {"prefix": bits}}).to_list() == expected


TREE = "10;teens;people\n20;twenties;people\n"


def test_a_hierarchy_is_read_at_release() -> None:
    raw = {"columns": {"v": {"hierarchy": "ages.csv", "level": 1}}}
    embedded = Generalize.embed(raw, {"ages.csv": TREE}.__getitem__)
    assert run("int64", [20, 10, 30, None], method="generalize", **embedded).to_list() == [
        "twenties",
        "teens",
        None,
        None,
    ]
    assert "was not read" in wrong({"v": {"type": "int64"}}, {"method": "generalize", **raw})[0]


def test_files_are_read_into_a_released_task_or_told() -> None:
    grids = {"v": {"hierarchy": "ages.csv", "level": 2}, "w": {"step": 1}}
    methods = [Method(method="generalize", columns=grids), Method(method="suppress", columns=["x"])]
    ready = embed_files(methods, METHODS, lambda _: TREE)
    assert ready[1] == methods[1]
    assert ready[0].options["columns"]["v"] == {"rows": [row.split(";") for row in TREE.split()], "level": 2}
    with pytest.raises(ConfigError, match=r"0: names a file that can't be read \(no such file"):
        embed_files(methods, METHODS, lambda name: Path("/nowhere", name).read_text())
    with pytest.raises(ConfigError, match=r"0.columns.v.hierarchy: has a hole"):
        embed_files(methods, METHODS, lambda _: "a;;b\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "different lengths"),
        ("a;b\nc\n", "different lengths"),
        ("a;;x\nb;c;x\n", "hole"),
        ("a;b\na;c\n", "leaf twice"),
        ("a;g;x\nb;g;y\n", "two groups"),
    ],
)
def test_a_hierarchy_that_is_no_tree(content: str, told: str) -> None:
    with pytest.raises(MisfitError, match=told):
        Generalize.embed({"columns": {"v": {"hierarchy": "x", "level": 1}}}, lambda _: content)


def test_groups_of_k_fail_closed_and_say_so() -> None:
    columns = {"age": {"type": "int64"}, "city": {"type": "string"}, "x": {"type": "int64"}}
    methods = compiled(
        columns,
        {"method": "generalize", "quasi_identifiers": ["age", "city"], "k": 5, "suppression_limit": 0.05},
        table="customer",
    )
    (note,) = methods.unsupported
    assert note.startswith("customer: groups of k = 5 are not formed")
    assert "age, city are suppressed" in note
    out = methods.apply(pl.DataFrame({"age": [1], "city": ["a"], "x": [2], "_id": [1]}), KEY, window=False)
    assert out.to_dicts() == [{"age": None, "city": None, "x": 2, "_id": 1}]
    assert out.schema["age"] == pl.Int64


@pytest.mark.parametrize(
    "method",
    [
        {"method": "generalize", "columns": {"v": {"unit": "week"}}},
        {"method": "generalize", "columns": {"v": {"unit": "decade"}}},
        {"method": "mask", "columns": {"v": {"keep_last": 2}}},
        {"method": "tokenize", "columns": ["v"]},
    ],
)
def test_moments_beyond_the_calendar_are_suppressed(method: dict[str, Any]) -> None:
    days = pl.Series([-(2**31), 2**31 - 1, 0, None], dtype=pl.Int32).cast(pl.Date)
    moments = pl.Series([-(2**63), 2**63 - 1, 0, None], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    for kind, values in (("date", days), ("timestamp", moments)):
        assert run(kind, values, **method).is_null().to_list() == [True, True, False, True]


def test_the_edges_of_decimals() -> None:
    largest = Decimal("9" * 36 + ".99")
    out = run("decimal", [largest, largest.copy_negate()], method="generalize", columns={"v": {"step": 7}})
    assert out[1] == largest.copy_negate()
    assert 0 <= largest - out[0] < 7


# noise


@pytest.mark.parametrize("distribution", ["uniform", "gaussian", "laplace"])
@pytest.mark.parametrize("kind", ["float64", "int64", "decimal"])
def test_noise_keeps_the_mean_and_has_its_scale(kind: str, distribution: str) -> None:
    count = 40_000
    values: list[Any] = [Decimal(100)] * count if kind == "decimal" else [100] * count
    noise = {"absolute": 5, "distribution": distribution}
    out = run(kind, values, method="perturb", columns={"v": noise}).cast(pl.Float64)
    spread = {"uniform": 5 / 3**0.5, "gaussian": 5.0, "laplace": 5 * 2**0.5}[distribution]
    assert abs(out.mean() - 100) < 5 * spread / count**0.5  # type: ignore[operator]
    assert abs(out.std() / spread - 1) < 0.04  # type: ignore[operator]
    if distribution == "uniform":
        assert out.is_between(95, 105).all()


def test_relative_noise_stays_within_its_share_and_moves_values() -> None:
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
    values: list[float | None], bounds: tuple[float | None, float | None], distribution: str
) -> None:
    low, high = bounds
    noise = {"absolute": 50, "distribution": distribution, "min": low, "max": high}
    for old, new in zip(values, run("float64", values, method="perturb", columns={"v": noise}), strict=True):
        if old is None or not math.isfinite(old):
            assert str(new) == str(old)
        else:
            assert (-math.inf if low is None else low) <= new <= (math.inf if high is None else high)


def test_reflection_piles_nothing_up_at_a_bound() -> None:
    out = run("int64", [0] * 20_000, method="perturb", columns={"v": {"absolute": 10, "min": 0, "max": 100}})
    counts = dict(out.value_counts().iter_rows())
    assert set(counts) == set(range(11))
    assert counts[0] < 1.2 * counts[1]


def test_noise_at_the_edges_of_a_type() -> None:
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


def test_noise_belongs_to_the_record_the_column_the_table_and_the_run() -> None:
    columns = {"v": {"type": "float64"}, "w": {"type": "float64"}}
    method = {"method": "perturb", "columns": {"v": {"absolute": 1}, "w": {"absolute": 1}}}
    frame = pl.DataFrame({"v": [1.0] * 100, "w": [1.0] * 100, "_id": range(100)})
    out = compiled(columns, method).apply(frame, KEY, window=True)
    assert out["v"].n_unique() == 100
    assert not set(out["v"]) & set(out["w"])
    assert not set(out["v"]) & set(compiled(columns, method, table="u").apply(frame, KEY, window=True)["v"])
    assert not set(out["v"]) & set(compiled(columns, method).apply(frame, OTHER, window=True)["v"])
    assert compiled(columns, method).apply(frame[40:60], KEY, window=False).equals(out[40:60])


# permutation


def test_a_permutation_keeps_the_multiset_and_breaks_the_link() -> None:
    values = list(range(1000))
    out = run("int64", values, method="permute", columns=["v"])
    assert sorted(out) == values
    assert sum(a == b for a, b in zip(values, out, strict=True)) < 10
    assert out.to_list() != run("int64", values, key=OTHER, method="permute", columns=["v"]).to_list()


def test_every_order_is_equally_likely() -> None:
    seen = [tuple(run("int64", [0, 1, 2], key=i.to_bytes(32), method="permute", columns=["v"])) for i in range(1200)]
    counts = [seen.count(order) for order in set(seen)]
    assert len(counts) == 6
    assert sum((n - 200) ** 2 / 200 for n in counts) < 26  # chi-square with 5 degrees, p about 1e-4


def test_linked_columns_move_together_others_apart() -> None:
    columns = {"a": {"type": "int64"}, "b": {"type": "int64"}}
    frame = pl.DataFrame({"a": range(200), "b": range(200), "_id": range(200)})
    linked = compiled(columns, {"method": "permute", "columns": ["a", "b"], "linked": True}).apply(frame, KEY, False)
    assert linked["a"].equals(linked["b"].alias("a"))
    apart = compiled(columns, {"method": "permute", "columns": ["a", "b"]}).apply(frame, KEY, False)
    assert (apart["a"] == apart["b"]).sum() < 10


def test_a_window_below_the_minimum_is_suppressed() -> None:
    assert run("int64", range(49), window=True, method="permute", columns=["v"]).null_count() == 49
    assert run("int64", range(50), window=True, method="permute", columns=["v"]).null_count() == 0
    assert run("int64", range(3), window=False, method="permute", columns=["v"]).null_count() == 0
    assert run("int64", range(9), window=True, method="permute", columns=["v"], minimum=9).null_count() == 0


def test_deletions_take_no_part() -> None:
    frame = pl.DataFrame({"v": range(100), "_id": range(100), "_op": [i % 2 for i in range(100)]})
    out = compiled({"v": {"type": "int64"}}, {"method": "permute", "columns": ["v"]}).apply(frame, KEY, window=True)
    assert sorted(out.filter(pl.col("_op") == 0)["v"]) == list(range(0, 100, 2))
    assert out.filter(pl.col("_op") == 1)["v"].null_count() == 50


# the runner


def test_the_contracts_people_task() -> None:
    columns = {
        "name": {"type": "string"},
        "email": {"type": "string"},
        "age": {"type": "int64"},
        "salary": {"type": "float64"},
    }
    methods = compiled(
        columns,
        {"method": "suppress", "columns": ["name"]},
        {"method": "tokenize", "columns": ["email"]},
        {"method": "generalize", "columns": {"age": {"step": 10}}},
        {"method": "perturb", "columns": {"salary": {"relative": 0.05}}},
    )
    assert methods.output_columns == {"name": "string", "email": "string", "age": "int64", "salary": "float64"}
    frame = pl.DataFrame({"name": ["Ada"], "email": ["a@b"], "age": [36], "salary": [100.0], "_id": [5]})
    row = methods.apply(frame, KEY, window=False).row(0, named=True)
    assert row["name"] is None
    assert row["email"].startswith("tok_")
    assert row["age"] == 30
    assert 95 <= row["salary"] <= 105 != row["salary"]
    assert methods.unsupported == ()


def test_types_change_where_values_become_text() -> None:
    columns = {name: {"type": "int64"} for name in "abc"}
    methods = compiled(
        columns, {"method": "tokenize", "columns": ["a"]}, {"method": "mask", "columns": {"b": {"keep_last": 1}}}
    )
    assert methods.output_columns == {"a": "string", "b": "string", "c": "int64"}


def test_mistakes_name_place_and_remedy_all_at_once() -> None:
    columns = {"a": {"type": "int64"}, "b": {"type": "string"}}
    told = wrong(
        columns,
        {"method": "blur", "columns": ["a"]},
        {"method": "suppress", "columns": ["a", "z"]},
        {"method": "generalize", "columns": {"b": {"step": 10}}},
        {"method": "perturb", "columns": {"a": {"relative": 0.1, "absolute": 1}}},
        {"method": "mask", "columns": {"b": {"keep_last": 10}}},
        {"method": "generalize", "quasi_identifiers": ["a"]},
        {"method": "tokenize", "columns": []},
    )
    assert told[0].startswith("0.method: blur is no method; methods are generalize, mask")
    assert told[1] == "1.columns.1: z is no column of the table; columns are a, b"
    assert told[2] == "2.columns.b: b is of type string; fits decimal, float64, int64"
    assert told[3].startswith("3.columns.a: says neither or both of relative and absolute")
    assert told[4].startswith("4.columns.b.length: has a length that leaves nothing to hide")
    assert told[5].startswith("5: has no k")
    assert told[6].startswith("6.columns: does not fit; list should have at least 1 item")
    assert len(told) == 7


def test_a_column_with_two_methods_is_a_mistake() -> None:
    columns = {"a": {"type": "int64"}}
    told = wrong(
        columns,
        {"method": "suppress", "columns": ["a"]},
        {"method": "generalize", "quasi_identifiers": ["a"], "k": 2},
    )
    assert told == ["1.columns: a already has the method suppress; give every column one method"]


@pytest.mark.parametrize(
    ("kind", "grid", "told"),
    [
        ("int64", {"step": 0}, "positive number"),
        ("int64", {"step": 2.5}, "too fine"),
        ("decimal", {"step": "x"}, "no number"),
        ("int64", {}, "in no way"),
        ("int64", {"step": 1, "keep_first": 1}, "in several"),
        ("date", {"unit": "hour"}, "finer than a date"),
        ("string", {"prefix": 40}, "less than or equal to 32"),
        ("string", {"rows": [["a", "b"]]}, "hierarchy and level"),
        ("string", {"rows": [["a", "b"]], "level": 2}, "levels 1 to 1"),
        ("string", {"keep_first": 1, "prefix6": 8}, "prefix6 without prefix"),
    ],
)
def test_grids_that_make_no_sense(kind: str, grid: dict[str, Any], told: str) -> None:
    (mistake,) = wrong({"v": {"type": kind}}, {"method": "generalize", "columns": {"v": grid}})
    assert told in mistake
    assert mistake.startswith("0.columns.v")


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
def test_noise_that_makes_no_sense(kind: str, noise: dict[str, Any], told: str) -> None:
    assert told in wrong({"v": {"type": kind}}, {"method": "perturb", "columns": {"v": noise}})[0]
