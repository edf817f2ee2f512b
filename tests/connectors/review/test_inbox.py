"""What is read and not stored: in order, without a gap, one chunk of a partition at a time, bounded."""

from __future__ import annotations

from connectors.review.inbox import CHUNK_ROWS, Inbox
from connectors.review.messages import Message
from schemas.headers import Header

PLACE, OTHER = ("metal.outbox", 0), ("metal.outbox", 1)


def message(offset: int, rows: int = 1, size: int = 10, at: float = 0.0) -> Message:
    header = Header("data", "t", "r", "person", "merge/0", 0, offset, 0, rows)
    return Message(offset, b"x" * size, header, at)


def test_one_chunk_of_a_partition_is_out_at_a_time() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 5, 5)
    for offset in (5, 6):
        inbox.offer(PLACE, message(offset))
    taken = inbox.take(0)
    assert taken is not None
    inbox.offer(PLACE, message(7))
    assert inbox.take(0) is None
    inbox.stored(*taken)
    again = inbox.take(0)
    assert again is not None
    assert ([m.offset for m in again[1].messages], again[1].known) == ([7], 7)


def test_the_partition_that_waited_longest_comes_first() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 0, 0)
    inbox.place(OTHER, 0, 0)
    inbox.offer(PLACE, message(0, at=2.0))
    inbox.offer(OTHER, message(0, at=1.0))
    assert inbox.oldest() == 1.0
    taken = inbox.take(0)
    assert taken is not None
    assert taken[0].place == OTHER


def test_what_was_seen_is_passed_by_and_a_hole_sets_the_partition_adrift() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 3, 3)
    inbox.offer(PLACE, message(2))
    assert inbox.take(0) is None
    inbox.offer(PLACE, message(3))
    inbox.offer(PLACE, message(5))
    assert (inbox.adrift(), inbox.held) == ([PLACE], 0)
    inbox.offer(PLACE, message(4))
    assert inbox.take(0) is None
    inbox.place(PLACE, 3, 5)
    inbox.offer(PLACE, message(5))
    assert inbox.take(0) is not None


def test_messages_of_a_partition_that_was_taken_away_are_forgotten() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 0, 0)
    inbox.offer(PLACE, message(0))
    inbox.offer(PLACE, message(1))
    taken = inbox.take(0)
    assert taken is not None
    inbox.remove([PLACE])
    inbox.place(PLACE, 9, 9)  # another writer has stored up to there in the meantime
    inbox.stored(*taken)
    assert (inbox.positions(), inbox.held) == ({PLACE: 9}, 0)


def test_a_chunk_that_does_not_count_sets_its_partition_adrift() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 0, 0)
    inbox.offer(PLACE, message(0))
    taken = inbox.take(0)
    assert taken is not None
    assert inbox.adrift() == []
    inbox.drift(*taken)
    assert (inbox.adrift(), inbox.held) == ([PLACE], 0)


def test_is_full_until_what_it_holds_is_stored() -> None:
    inbox = Inbox(100)
    inbox.place(PLACE, 0, 0)
    for offset in range(10):
        inbox.offer(PLACE, message(offset))
    assert inbox.full
    taken = inbox.take(0)
    assert taken is not None
    assert inbox.full  # what a transaction holds counts
    inbox.stored(*taken)
    assert (inbox.full, inbox.held) == (False, 0)


def test_a_chunk_has_an_end_and_one_message_at_least() -> None:
    inbox = Inbox(1000)
    inbox.place(PLACE, 0, 0)
    for offset, rows in enumerate((CHUNK_ROWS + 1, 1, CHUNK_ROWS, 1)):
        inbox.offer(PLACE, message(offset, rows))
    sizes = []
    while (taken := inbox.take(0)) is not None:
        sizes.append(taken[1].rows)
        inbox.stored(*taken)
    assert sizes == [CHUNK_ROWS + 1, 1, CHUNK_ROWS, 1]
