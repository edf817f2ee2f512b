"""What is done by bytes is what Python does text by text."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.rules.ascii import QUICK, Quick, formed

BY_HAND = {"trim": str.strip, "lower": str.lower, "upper": str.upper}
BLANKS = "\t\n\x0b\x0c\r "
ASCII = st.text(
    st.one_of(st.sampled_from(BLANKS), st.characters(max_codepoint=127, exclude_characters="\x1c\x1d\x1e\x1f"))
)
OTHERS = st.sampled_from([" é", "ÀB\u00a0", "İ", "ß", "ΑΣ", "\u2028x", "\U0001f600 A"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.none(), ASCII), max_size=12),
    st.lists(OTHERS, max_size=1),
    st.lists(st.sampled_from(sorted(QUICK)), min_size=1, max_size=3),
    st.integers(0, 3),
)
def test_any_texts(some: list[str | None], others: list[str], forms: list[Quick], start: int) -> None:
    texts = [*some, *others]
    expected = texts[start:]
    for form in forms:
        expected = [None if text is None else BY_HAND[form](text) for text in expected]
    frame = pl.DataFrame({"a": pl.Series(texts, dtype=pl.String)}).slice(start)
    found = frame.select(formed(pl.col("a"), forms)).to_series()
    assert found.dtype == pl.String
    assert found.name == "a"
    assert found.to_list() == expected


@pytest.mark.parametrize("code", range(128))
def test_every_ascii_character_is_trimmed_as_polars_does(code: int) -> None:
    text = chr(code)
    frame = pl.DataFrame({"a": [f"{text}x{text}"]})
    trimmed = frame.select(pl.col("a").str.strip_chars()).item()
    assert frame.select(formed(pl.col("a"), ["trim"])).item() == trimmed
