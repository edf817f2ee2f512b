"""The last batch of a run: its counts must add up, its letters be there, its rejects stay below the limit."""

from __future__ import annotations

import psycopg
import pytest

from connectors.review.letters import store_letters
from connectors.review.store import store_batches
from control_api.store import outbox as outbox_tables
from schemas import topics
from tests.connectors.review.conftest import MASTER, Store
from tests.connectors.review.outbox_messages import Log, Outbox, counts
from tests.connectors.review.test_store import people

pytestmark = pytest.mark.stack


def finish(store: Store, run: str, said: dict, rows: int = 3) -> tuple[str, str | None]:
    """Stores some rows and the end; answers with the run's state and reason."""
    outbox, log = Outbox(run), Log()
    log.add(outbox.data("person", people(list(range(rows)))), outbox.end({"person": said}))
    store_batches(store.conn, log.chunk(), MASTER)
    reason = store.value("SELECT reason FROM metal.runs WHERE run = %s", run)
    return store.state(run), reason


def test_a_run_whose_counts_add_up_is_prepared_and_ends(store: Store) -> None:
    store.add_run("r")
    said = counts(10, 3, merged=2, **{"age.range": 4, "city.empty": 1})
    assert finish(store, "r", said) == ("prepared", None)
    assert store.ended("r")
    assert store.value("SELECT count(*) FROM metal.run_keys") == 0


@pytest.mark.parametrize(("read", "prepared"), [(4, 4), (2, 2), (4, 3)])
def test_a_run_whose_counts_do_not_add_up_fails(store: Store, read: int, prepared: int) -> None:
    store.add_run("r")
    state, reason = finish(store, "r", counts(read, prepared))
    assert state == "failed"
    assert f"person: {read} read, but 3 stored" in (reason or "")


def test_the_end_of_a_run_does_not_wait_for_a_look_at_all_rows(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1, 2, 3])), outbox.end({"person": counts(3, 3)}))
    store_batches(store.conn, log.chunk(0, 1), MASTER)
    with psycopg.connect(store.url) as other:
        other.execute("LOCK TABLE outbox_r.person")
        store_batches(store.conn, log.chunk(1), MASTER)  # would wait in vain
        assert store.state("r") == "prepared"


def test_what_does_not_add_up_is_told_of_the_rows_that_are_there(store: Store) -> None:
    store.add_run("r")
    store.add_run("other")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1, 2, 3])), outbox.end({"person": counts(3, 3)}))
    store_batches(store.conn, log.chunk(0, 1), MASTER)
    store.conn.execute("UPDATE metal.stored SET rows = rows + 1")
    store_batches(store.conn, log.chunk(1), MASTER)
    assert store.state("r") == "prepared"
    assert outbox_tables.prepared(store.conn, "r") == {"person": 3}
    store.conn.execute("UPDATE metal.consumed SET next_offset = 0")
    assert finish(store, "other", counts(4, 4))[1] == (
        "the counts of the run do not add up: person: 4 read, but 3 stored, 0 merged away, 0 rejected and 0 dropped"
    )


def test_rows_of_an_aggregate_are_compared_with_what_was_prepared(store: Store) -> None:
    store.add_run("good")
    store.add_run("bad")
    spec = '{"tables": {"person": {"transform": [{"aggregate": {"columns": {"n": "count(*)"}}}]}}}'
    store.conn.execute("UPDATE metal.tasks SET spec = %s", (spec,))
    assert finish(store, "good", counts(100, 3)) == ("prepared", None)
    store.conn.execute("UPDATE metal.consumed SET next_offset = 0")
    state, reason = finish(store, "bad", counts(100, 4))
    assert (state, "4 rows were prepared and 3 are stored" in (reason or "")) == ("failed", True)


def test_a_run_waits_for_every_producer(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r", partitions=2), Log()
    log.add(outbox.data("person", people([1]), 0), outbox.end({"person": counts(1, 1)}, 0))
    log.add(outbox.data("person", people([2]), 1), outbox.end({"person": counts(1, 1)}, 1))
    store_batches(store.conn, log.chunk(0, 3), MASTER)
    assert store.state("r") == "running"
    store_batches(store.conn, log.chunk(3), MASTER)
    assert store.state("r") == "prepared"


def test_a_paused_run_is_not_prepared(store: Store) -> None:
    store.add_run("r")
    store.conn.execute("UPDATE metal.runs SET state = 'paused'")
    assert finish(store, "r", counts(3, 3)) == ("paused", None)


def test_the_limit_is_checked_again_with_exact_numbers(store: Store) -> None:
    key = store.add_run("r", rejects='{"share": 0.5, "count": 2}')
    letters = Log((topics.DEADLETTER.name, 0))
    letters.add_letters(Outbox("r").letters(key, [{"id": n} for n in range(4)]))
    letters.add_letters(Outbox("r").letters(key, [{"id": n} for n in range(4)]))  # sent again
    assert store_letters(store.conn, letters.chunk()).rows == 4
    state, reason = finish(store, "r", counts(7, 3, rejected=4))
    assert (state, "4 of 7 records were rejected" in (reason or "")) == ("failed", True)


def test_more_letters_than_were_counted_do_not_add_up(store: Store) -> None:
    key = store.add_run("r")
    letters = Log((topics.DEADLETTER.name, 0))
    letters.add_letters(Outbox("r").letters(key, [{"id": 1}, {"id": 2}]))
    store_letters(store.conn, letters.chunk())
    state, reason = finish(store, "r", counts(4, 3, rejected=1))
    assert (state, "1 records were rejected and 2 dead letters" in (reason or "")) == ("failed", True)


def test_a_correction_may_supersede_another_record_that_fell(store: Store) -> None:
    """Somebody replays a letter while partitions of the run are still at work: the other one's letter stays."""
    key = store.add_run("r")
    letters = Log((topics.DEADLETTER.name, 0))
    letters.add_letters(Outbox("r").letters(key, [{"id": 1}, {"id": 2}]))
    store_letters(store.conn, letters.chunk())
    store.conn.execute(
        "UPDATE metal.dead_letters SET state = 'replayed' WHERE id = (SELECT min(id) FROM metal.dead_letters)"
    )
    assert finish(store, "r", counts(5, 3, merged=1, rejected=1)) == ("prepared", None)
