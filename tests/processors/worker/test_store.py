"""Local files of a segment table: whole or not there, and never ahead of what was read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.worker.store import SegmentStore

PLACE = TP("changelog", 2)


OURS = (b"run|t|1|1", b"run|t|1|9", b"run||4|4")
keys = st.none() | st.binary(max_size=90) | st.sampled_from([*OURS, b"run|t|1|x", b"a|b|c", b"run|t|01|1", b"\xff"])


@dataclass
class Message:
    key: bytes | None
    value: bytes | None
    offset: int
    partition: int = 2
    topic: str = "changelog"
    tp: TP = PLACE


@dataclass
class Event:
    message: Message


def opened(folder: Path) -> SegmentStore:
    return SegmentStore("segments://", cast(Any, None), cast(Any, None), table_name="state", folder=folder)


def applied(store: SegmentStore, *entries: tuple[bytes | None, bytes | None, int]) -> None:
    store.apply_changelog_batch([Event(Message(*entry)) for entry in entries], lambda k: k, lambda v: v)


def test_what_was_put_is_there_when_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(2, b"run|t|1|1", b"one")
    store.put(2, b"run|t|2|2", b"two")
    store.remove(2, b"run|t|1|1")
    store.remove(2, b"never there")
    again = opened(tmp_path)
    assert again.entries(2) == {b"run|t|2|2": 3}
    assert again.path(2, b"run|t|2|2").read_bytes() == b"two"
    assert again[b"run|t|2|2"] == b"two"
    assert store.size() == again.size() == 3


def test_a_file_that_was_being_written_is_not_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(2, b"k", b"whole")
    store.path(2, b"other").with_suffix(".part").write_bytes(b"ha")
    assert opened(tmp_path).entries(2) == {b"k": 5}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(keys, st.none() | st.binary(max_size=20)), max_size=10))
def test_any_bytes_from_the_log_are_taken_in_or_left_out(
    tmp_path: Path, entries: list[tuple[bytes | None, bytes | None]]
) -> None:
    """An exception here would be swallowed by Faust, and recovery would hang."""
    store = opened(tmp_path)
    store.reset_state()
    applied(store, *((key, value, offset) for offset, (key, value) in enumerate(entries)))
    want: dict[bytes, bytes] = {}
    for key, value in entries:
        if key in OURS and value:
            want[key] = value
        elif key in OURS:
            want.pop(key, None)
    assert {key: store.path(2, key).read_bytes() for key in opened(tmp_path).entries(2)} == want
    assert store.persisted_offset(PLACE) == (len(entries) - 1 if entries else None)


def test_a_key_too_long_for_a_file_is_left_out(tmp_path: Path) -> None:
    store = opened(tmp_path)
    applied(store, (b"x" * 5000 + b"|t|1|1", b"v", 0), (OURS[0], b"v", 1))
    assert list(store.entries(2)) == [OURS[0]]
    assert store.persisted_offset(PLACE) == 1


def test_without_its_offset_or_with_a_damaged_one_a_partition_is_read_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put(2, b"k", b"v")
    assert store.persisted_offset(PLACE) is None
    assert store.entries(2) == {}
    applied(store, (OURS[0], b"v", 7))
    assert opened(tmp_path).persisted_offset(PLACE) == 7
    (tmp_path / "2" / "offset").write_text("seven")
    store = opened(tmp_path)
    assert store.persisted_offset(PLACE) is None
    assert store.entries(2) == {}


def test_the_offset_never_passes_an_entry_that_was_not_read_here(tmp_path: Path) -> None:
    """We were out of the group without knowing, and somebody else has written entries 11 and 12."""
    store = opened(tmp_path)
    applied(store, (OURS[0], b"v", 9))
    store.wrote(PLACE, 10)
    assert store.persisted_offset(PLACE) == 10
    store.wrote(PLACE, 13)
    store.wrote(PLACE, 14)
    assert opened(tmp_path).persisted_offset(PLACE) == 10


def test_the_first_entry_of_an_empty_log_counts(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.wrote(PLACE, 0)
    assert store.persisted_offset(PLACE) == 0
    store.wipe(2)
    store.wrote(PLACE, 5)
    assert store.persisted_offset(PLACE) is None


def test_a_store_is_written_by_partition_alone(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(TypeError, match="partition"):
        store[b"k"] = b"v"
    with pytest.raises(TypeError, match="partition"):
        del store[b"k"]
