from __future__ import annotations

import copy
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events
from schemas.errors import Fatal

LETTER = {"id": "1", "rule": "range", "column": None, "reason": "why", "position": "{}", "sealed": b"\0\1"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "control": {"run": "r", "task": "t", "kind": "start", "at": 1.5, "reason": None, "seq": 3},
    "audit": {
        "seq": 1,
        "at": "2026-01-01T00:00:00.000000+00:00",
        "actor": "a",
        "action": "b",
        "subject": "c",
        "detail": "{}",
        "previous": "0" * 64,
        "hash": "1" * 64,
    },
    "dead_letters": {"run": "r", "task": "t", "table": "x", "stage": "rules", "letters": [LETTER, LETTER]},
    "run_progress": {
        "run": "r",
        "task": "t",
        "producer": "lane/0",
        "at": 1.0,
        "epoch": 4,
        "records": 5,
        "bytes": 6,
        "total": None,
        "done": False,
    },
}


def test_every_event_has_an_example() -> None:
    assert events.names() == sorted(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trip(name: str) -> None:
    assert events.decode(name, events.encode(name, EXAMPLES[name])) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_single_object_encoding(name: str) -> None:
    assert events.encode(name, EXAMPLES[name])[:2] == b"\xc3\x01"


@given(st.binary(max_size=40))
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(Fatal, match="control"):
        events.decode("control", payload)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_event_that_is_cut_off_is_refused(name: str) -> None:
    whole = events.encode(name, EXAMPLES[name])
    for cut in range(len(whole) - 1):
        with pytest.raises(Fatal):
            events.decode(name, whole[:cut])


def test_one_event_is_not_taken_for_another() -> None:
    with pytest.raises(Fatal, match="not a audit event"):
        events.decode("audit", events.encode("control", EXAMPLES["control"]))
    with pytest.raises(Fatal, match="there is no event"):
        events.encode("none", {})


def test_an_earlier_form_is_read_into_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    files = copy.deepcopy(events._files())
    earlier = copy.deepcopy(files["control"])
    earlier["fields"] = [field for field in earlier["fields"] if field["name"] not in ("seq", "reason")]
    old = events.mark(earlier)
    monkeypatch.setattr(events, "_files", lambda: files | {"control.1": earlier})
    events._known.cache_clear()
    events._present.cache_clear()
    try:
        import io

        sink = io.BytesIO(old)
        sink.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(sink, earlier, {"run": "r", "task": "t", "kind": "end", "at": 0.0})
        read = events.decode("control", sink.getvalue())
    finally:
        events._known.cache_clear()
        events._present.cache_clear()
    assert read == {"run": "r", "task": "t", "kind": "end", "at": 0.0, "reason": None, "seq": 0}


def test_a_kind_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="frob"):
        events.encode("control", EXAMPLES["control"] | {"kind": "frob"})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
LETTERS = st.fixed_dictionaries(
    {
        "id": TEXT,
        "rule": TEXT,
        "column": st.none() | TEXT,
        "reason": TEXT,
        "position": TEXT,
        "sealed": st.binary(max_size=20),
    }
)


@given(TEXT, TEXT, st.lists(LETTERS, max_size=5))
def test_round_trip_of_any_letters(run: str, table: str, letters: list[dict[str, Any]]) -> None:
    event = {"run": run, "task": "t", "table": table, "stage": "rules", "letters": letters}
    assert events.decode("dead_letters", events.encode("dead_letters", event)) == event


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_an_event_with_changed_bytes_is_an_event_or_refused(name: str, data: st.DataObject) -> None:
    payload = bytearray(events.encode(name, EXAMPLES[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = events.decode(name, bytes(payload))
    except Fatal:
        return
    assert found.keys() == EXAMPLES[name].keys()
