"""Names of segments: a wider range hides what is inside it, whoever wrote it and whenever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.worker.ledger import Name, Progress, mergeable, pack, segment_start, unpack_progress, visible
from schemas.errors import Fatal


def name(first: int, last: int) -> Name:
    return Name("run", "table", first, last)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_every_row_is_seen_once_after_any_replay_of_merges(rows: list[int], random: object) -> None:
    """All that was ever written, by however many owners and in any order, with or without tombstones."""
    written = [name(offset, offset) for offset in range(len(rows))]
    ever = list(written)
    sizes = dict(zip(written, rows, strict=True))
    while (found := mergeable([sizes[one] for one in written], 1 << 16, fan=3, base=64)) is not None:
        parts = written[found[0] : found[0] + found[1]]
        whole = name(parts[0].first, parts[-1].last)
        sizes[whole] = sum(sizes[part] for part in parts)
        written[found[0] : found[0] + found[1]] = [whole]
        ever.append(whole)
        assert visible(ever) == written
    random.shuffle(ever)  # type: ignore[attr-defined]  # hypothesis names no type for it
    assert visible([*ever, *ever]) == written
    assert [n for one in visible(ever) for n in range(one.first, one.last + 1)] == list(range(len(rows)))


def test_ranges_that_overlap_in_part_are_an_error_never_a_loss() -> None:
    with pytest.raises(Fatal, match="overlap"):
        visible([name(0, 5), name(3, 8)])


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_name_is_read_back_from_its_key(first: int, last: int) -> None:
    assert Name.parse(name(first, last).key()) == name(first, last)


@given(st.binary(max_size=50), st.integers(-1, 2**60))
def test_an_entry_holds_the_progress_and_behind_it_the_segment(segment: bytes, applied: int) -> None:
    progress = Progress(applied=applied, seen={"lane/0": [1, 2, 3]}, counts={"t": {"read": 4}})
    entry = pack(progress, segment)
    assert unpack_progress(entry) == progress
    assert entry[segment_start(entry[:4]) :] == segment
