"""`anatomize` in the runner: two tables come out of one; what does not fit is refused before the run or at its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.anonymize.anatomize import Anatomize
from processors.anonymize.runner import CompiledMethods, compile_methods
from processors.wrong_config import ConfigError
from schemas.errors import Fatal
from schemas.task.model import Column, Method

COLUMNS: dict[str, dict[str, Any]] = {
    "city": {"type": "string"},
    "who": {"type": "string"},
    "ill": {"type": "string"},
    "pay": {"type": "decimal", "scale": 2},
}


def methods_of(columns: dict[str, dict[str, Any]] = COLUMNS, **options: Any) -> CompiledMethods:
    declared = {name: Column.model_validate(raw) for name, raw in columns.items()}
    method = Method(**{"method": "anatomize", "sensitive": "ill", "l": 2, **options})
    return compile_methods("patient", declared, [method], {"anatomize": Anatomize})


def table_of(ills: list[str | None], people: list[str] | None = None) -> pl.DataFrame:
    who = people or [str(n) for n in range(len(ills))]
    frame = pl.DataFrame({"who": who, "ill": ills}, schema={"who": pl.String, "ill": pl.String})
    return frame.with_columns(pl.lit("Oslo").alias("city"), pl.int_range(pl.len(), dtype=pl.UInt64).alias("_hash"))


@given(st.lists(st.sampled_from(["flu", "cold", "none", None]), min_size=2, max_size=40), st.booleans())
def test_every_group_links_its_records_to_as_many_values(ills: list[str | None], window: bool) -> None:
    methods, table = methods_of(), table_of(ills)
    if max(Counter(ills).values()) > len(ills) // 2:
        if window:
            held, nothing = methods.form(table, table["_hash"], bytes(32), True)
            assert held.height == 0
            assert nothing is not None
            assert nothing.height == 0
            return
        with pytest.raises(Fatal, match="groups of 2 different values can't be formed"):
            methods.form(table, table["_hash"], bytes(32), False)
        return
    rows, beside = methods.form(table, table["_hash"], bytes(32), window)
    assert beside is not None
    assert set(rows.columns) == {"who", "city", "_hash", "group"}
    assert beside.columns == ["group", "ill", "count"]
    sizes = Counter(rows["group"])
    values: defaultdict[int, dict[str | None, int]] = defaultdict(dict)
    for group, ill, count in beside.iter_rows():
        values[group][ill] = count
    assert sizes == {group: sum(own.values()) for group, own in values.items()}
    assert all(len(own) >= 2 and max(own.values()) == 1 for own in values.values())
    assert Counter(ills) == Counter(ill for own in values.values() for ill in own)
    groups = dict(zip(rows["_hash"], rows["group"], strict=True))
    assert all(ill in values[groups[n]] for n, ill in enumerate(ills))


def test_the_table_beside_is_named_after_both() -> None:
    methods = methods_of(sensitive="pay")
    assert methods.linked == "patient_pay"
    assert methods.output_columns == {"city": "string", "who": "string", "ill": "string", "group": "int64"}
    assert methods.group is not None
    assert methods.group.linked == {"group": "int64", "pay": "decimal", "count": "int64"}


def test_no_group_has_two_records_of_one_subject() -> None:
    people = ["a", "a", "b", "c", "d", "d"]
    table = table_of(["flu", "cold", "flu", "cold", "flu", "cold"], people)
    rows, _ = methods_of(subject="who").form(table, table["_hash"], bytes(32), False)
    assert all(group["who"].n_unique() == group.height for _, group in rows.group_by("group"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sensitive": "nothing"}, "0.sensitive: nothing is no column of the table"),
        ({"subject": "nobody"}, "0.subject: nobody is no column of the table"),
        ({"subject": "ill"}, "0.subject: is the sensitive column"),
        ({"l": 1}, "0.l"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        methods_of(**options)
    assert str(caught.value.mistakes[0]).startswith(told)


def test_a_column_named_group_is_in_the_way() -> None:
    with pytest.raises(ConfigError, match="needs the names group and count for itself"):
        methods_of({**COLUMNS, "group": {"type": "string"}})
