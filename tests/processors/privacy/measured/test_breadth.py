from __future__ import annotations

import polars as pl
import pytest

from processors.privacy.measured.breadth import Breadth, breadth, published_ncp


@pytest.mark.parametrize(
    ("form", "losses"),
    [
        ("number", {"0..49": 0.5, "50..99": 0.5, "null|0..49": 0.5, "*": 1.0, "null|*": 1.0}),
        ("number", {"0..9": 1.0, "4": 0.0, "null": None}),
        ("number", {"0..4": 0.4, "7": 0.0, "10": 0.0}),
        ("number", {"-20..-11": 0.5, "-10..-1": 0.5, "<-20": 1.0, ">=0": 1.0}),
        ("number", {"0..<0.25": 0.5, "0.25..<0.5": 0.5}),
        ("number", {"4": 0.0}),
        ("number", {"<4": 1.0}),
        ("date", {"2020-01-01..2020-01-03": 0.5, "2020-01-05": 0.0}),
        ("date", {"2020-02": 1 / 12, "2020-03..2021-01": 11 / 12}),
        ("moment", {"1990s": 0.25, "2000s..2020s": 0.75}),
        ("moment", {"2020-Q1": 0.25, "2020-Q2..2020-Q4": 0.75}),
        ("moment", {"2020-01-01T00": 0.25, "2020-01-01T01..2020-01-01T03": 0.75}),
        ("moment", {"0999..1000": 1.0}),
        ("value", {"blue|green": 2 / 3, "red": 0.0}),
        ("code", {"10***": 0.6, "2b***": 0.6, "null|*": 1.0}),
        ("network", {"10.1.0.0/16": 0.5, "2001:db8::/32": 0.75, "*": 1.0}),
    ],
)
def test_names_tell_widths(form: str, losses: dict[str, float | None]) -> None:
    whole = {name: loss for name, loss in losses.items() if loss is not None}
    found = Breadth(form).losses(list(whole))  # type: ignore[arg-type]  # a parameter of tests is text
    assert found == pytest.approx(whole)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("number", "[30, 40)"),
        ("number", "many"),
        ("date", "2020-13-45"),
        ("moment", "1..2"),
        ("group", "x"),
        ("code", "1 0"),
        ("network", "10.1.2.3"),
    ],
)
def test_other_names_tell_nothing(form: str, name: str) -> None:
    assert Breadth(form).losses(["*", name]) is None  # type: ignore[arg-type]
    assert published_ncp(pl.DataFrame({"a": [name]}), {"a": Breadth(form)}, 0) is None  # type: ignore[arg-type]


def test_groups_of_a_hierarchy_are_as_wide_as_their_leaves() -> None:
    rows = [["Oslo", "Norway", "*"], ["Bergen", "Norway", "*"], ["Rome", "Italy", "*"], ["Lyon", "France", "*"]]
    cells = pl.Series(["Norway", "Rome", None, "null|*"])
    found = breadth("string", rows, cells)
    assert found.shares == {"*": 1.0, "Norway": 0.5, "Rome": 0.0}
    assert published_ncp(cells.to_frame("city"), {"city": found}, 0) == (0.5 + 1.0) / 4


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (["10***", "2b***"], "code"),
        (["10***", "2****"], "value"),
        (["10***", "20095"], "value"),
        (["10.0.0.0/8", "2001:db8::/32"], "network"),
        (["blue", "green"], "value"),
        (["*"], "value"),
        ([None], "value"),
    ],
)
def test_a_level_of_texts_is_known_by_its_names(names: list[str | None], form: str) -> None:
    cells = pl.Series(names, dtype=pl.String)
    assert breadth("string", None, cells, levels=True).form == form
    assert breadth("string", None, cells).form == "value"
    assert breadth("int64", None, cells, levels=True).form == "number"


def test_the_average_is_over_all_cells_and_suppressed_records_lose_all() -> None:
    rows = pl.DataFrame({"age": ["0..49", "0..49", "50..99", None], "sex": ["f", "f|m", "f|m", "m"]})
    both = {"age": breadth("int64", None, rows["age"]), "sex": breadth("bool", None, rows["sex"])}
    assert published_ncp(rows, both, 0) == (1.5 + 2.0) / 8
    assert published_ncp(rows, both, 4) == (3.5 / 2 + 4) / 8
    assert published_ncp(rows.clear(), both, 0) == 0.0
    assert published_ncp(rows, {}, 0) is None
