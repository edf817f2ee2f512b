from __future__ import annotations

from xml.etree import ElementTree

import polars as pl
import pytest

from processors.privacy.measured.breadth import Breadth
from processors.privacy.measured.curve import draw
from processors.privacy.measured.preview import Point, document, preview
from schemas.errors import Fatal

ROWS = pl.DataFrame({"age": [20, 21, 22, 30, 31, 32, 33, 40], "who": list("aabcdefg")})


def form(k: int) -> pl.DataFrame:
    """Decades, without those of fewer than k."""
    if k > 8:
        raise Fatal(f"k = {k} is too <much>")
    low = ROWS["age"] // 10 * 10
    decades = ROWS.with_columns(age=pl.format("{}..{}", low, low + 9))
    return decades.filter(pl.len().over("age") >= k)


def points(*ks: int, population: int | None = None, subject: str | None = None) -> list[Point]:
    return preview(8, ["age"], ks, form, lambda _: {"age": Breadth("number")}, subject, population)


def test_a_point_tells_risk_and_loss() -> None:
    one, three, nine = points(1, 3, 9)
    assert (one.classes, one.reached, one.prosecutor, one.suppressed) == (3, 1, 1.0, 0)
    assert one.ncp == pytest.approx(1 / 3)
    assert one.discernibility == 9 + 16 + 1
    assert (three.classes, three.reached, three.suppressed, three.suppressed_share) == (2, 3, 1, 1 / 8)
    assert (three.prosecutor, three.journalist, three.marketer) == (1 / 3, 1 / 3, 2 / 7)
    assert three.ncp == pytest.approx((7 / 2 + 1) / 8)
    assert three.discernibility == 9 + 16 + 8
    assert three.average_class_size == 3.5
    assert (nine.refused, nine.suppressed_share, nine.ncp, nine.prosecutor) == ("k = 9 is too <much>", 1.0, 1.0, 0.0)


def test_who_does_not_know_that_a_person_is_in_the_sample_has_less() -> None:
    (three,) = points(3, population=80)
    assert (three.prosecutor, three.journalist, three.marketer) == (1 / 3, 1 / 30, pytest.approx(2 / 70))


def test_risk_is_that_of_subjects() -> None:
    (three,) = points(3, subject="who")
    assert (three.reached, three.prosecutor) == (2, 0.5)


def test_everything_suppressed_is_no_risk_and_all_lost() -> None:
    (none,) = points(6)
    assert (none.refused, none.prosecutor, none.suppressed_share, none.discernibility) == (None, 0.0, 1.0, 64)


def test_the_curve_as_data() -> None:
    told = document(points(3, 9), table="t")
    assert told["table"] == "t"
    assert [one["k"] for one in told["points"]] == [3, 9]
    assert "refused" not in told["points"][0]


@pytest.mark.parametrize("ks", [(3,), (1, 2, 3, 9), (9,), (6,)])
def test_the_drawing_is_sound_and_has_every_point(ks: tuple[int, ...]) -> None:
    text = draw(points(*ks), 'risk & "utility"', "by <age>")
    tree = ElementTree.fromstring(text)
    shown = [one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {'risk & "utility"', "by <age>", *map(str, ks)} <= set(shown)
    held = sum(not one.refused for one in points(*ks))
    circles = list(tree.iter("{http://www.w3.org/2000/svg}circle"))
    # prosecutor and journalist are one line without a population, and all risks are where nobody is left
    assert len(circles) == (2 if ks == (6,) else 4) * held
    assert sum(one == "not possible" for one in shown) == 2 * (len(ks) - held)
