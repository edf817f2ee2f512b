"""All ways to find the records of a block find the same ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.sources.formats.records import Dialect, Records
from connectors.sources.formats.scan import counted, scan
from connectors.sources.formats.walked import walk

PIECES = ["1", "é", ",", '"', '""', '"a"', '"\n"', '"\n\n"', '"\r\n"', '"\r"', "\n", "\n", "\n", "\r\n", "\r", "z" * 70]


def told(records: Records) -> tuple[object, ...]:
    spans = records.starts.tolist(), records.ends.tolist()
    return records.size, records.lines, records.line.tolist(), records.limited, records.broken, spans


def compare(data: bytes, dialect: Dialect, final: bool, limit: int) -> Records | None:
    """What is counted, where anything is: that which a walk finds."""
    found = counted(data, dialect, final, limit)
    if found is not None:
        as_quoted = dialect if dialect.quote else Dialect(quote="\x01")  # which is nowhere
        walked = walk(data, as_quoted, final, limit)
        # Blank lines reach the limit of what is counted, and a walk takes none of them behind it. And a quote within
        # the last record, which is not all there, may hide where the one before it ends.
        if found.limited or found.size < walked.size:
            walked = walk(data[: found.size], as_quoted, True, limit)
        assert told(found)[:3] == told(walked)[:3]
        assert told(found)[4:] == told(walked)[4:]
    return found


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.sampled_from([Dialect(), Dialect(quote="")]),
    st.booleans(),
    st.sampled_from([1, 2, 3, 1 << 20]),
)
@example('1,"\n\n\n",2\n3\n', Dialect(), False, 1)
@example('1\n"\n"\n"\n"\n"\n"\n1\n', Dialect(), True, 3)
@example("1\n2", Dialect(), False, 5)
def test_any_text(text: str, dialect: Dialect, final: bool, limit: int) -> None:
    compare(text.encode(), dialect, final, limit)


@pytest.mark.parametrize("limit", [1, 63, 64, 5_000, 29_999, 30_000, 1 << 20])
@pytest.mark.parametrize("final", [False, True])
def test_a_large_block_is_counted(limit: int, final: bool) -> None:
    chance = random.Random(limit)
    odd = ['"two\nlines"', '"three\r\nlines\n"', '"a ""quoted"" word"', '""', "x" * 200, "é\u2028"]
    lines = [f"{n},{chance.choice(odd) if chance.random() < 0.01 else 'plain text of a record'}" for n in range(30_000)]
    data = ("\n".join(lines) + "\n").encode()
    found = compare(data, Dialect(), final, limit)
    assert found is not None
    assert found.plain
    assert len(found.line) == min(limit, 30_000)


@pytest.mark.parametrize("text", ['"1"2\n', '1,"2"x\n', '"1,2\n'])
def test_what_is_walked(text: str) -> None:
    data = (text + "1,2\n").encode()
    assert counted(data, Dialect(), True, 9) is None
    assert len(scan(data, Dialect(), True, 9).broken) == 1
    assert len(scan(data, Dialect(quote=""), True, 9).line) == 2
