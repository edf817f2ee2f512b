"""A chunk is stored whole or not at all, once however often it comes, and never for a run that is over."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any

import orjson
import polars as pl
import pytest

from connectors.review.messages import Chunk, Message, RunFails, Stale
from connectors.review.session import open_session
from connectors.review.store import store_batches
from control_api.actions import transitions
from control_api.store.outbox import TablePlan, count, stored
from schemas import outbox as sealed_outbox
from schemas.sealing import unseal
from tests.connectors.review.conftest import MASTER, Store
from tests.connectors.review.outbox_messages import Log, Outbox, counts

pytestmark = pytest.mark.stack


def people(ids: list[int], name: str | None = "x", salary: float = 1.5, op: int | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "_id": ids,
            "_src": [n % 2 for n in ids],
            "_chg": [n % 4 for n in ids],
            "id": ids,
            "name": [name] * len(ids),
            "salary": [salary] * len(ids),
        },
        schema={
            "_id": pl.Int64,
            "_src": pl.UInt16,
            "_chg": pl.UInt64,
            "id": pl.Int64,
            "name": pl.String,
            "salary": pl.Float64,
        },
    )
    return frame if op is None else frame.with_columns(pl.lit(op, dtype=pl.Int8).alias("_op"))


def test_stores_rows_with_version_and_provenance(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1, 2, 3])))
    done = store_batches(store.conn, log.chunk(), MASTER)
    assert done.rows == 3
    assert store.rows("r") == [(1, 1, 1, 1, 1, "x", 1.5), (2, 1, 0, 2, 2, "x", 1.5), (3, 1, 1, 3, 3, "x", 1.5)]
    assert store.value("SELECT next_offset FROM metal.consumed WHERE topic = 'metal.outbox'") == 1
    assert store.value("SELECT first_row_at IS NOT NULL FROM metal.runs")


def test_what_was_stored_is_not_stored_again_under_a_new_offset(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    first, second = outbox.data("person", people([1])), outbox.data("person", people([2]))
    log.add(first, second, first, second, outbox.data("person", people([3])))
    store_batches(store.conn, log.chunk(0, 2), MASTER)
    done = store_batches(store.conn, log.chunk(2), MASTER)
    assert (done.rows, done.dropped) == (1, 2)
    assert stored(store.conn, "r") == {"person": 3}
    assert [row[0] for row in store.rows("r")] == [1, 2, 3]


def test_a_chunk_that_repeats_itself_is_stored_once(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    first = outbox.data("person", people([1]))
    log.add(first, first)
    assert store_batches(store.conn, log.chunk(), MASTER).rows == 1


def test_a_stale_writer_changes_nothing(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1])), outbox.data("person", people([2])))
    stale = log.chunk(0, 1)
    store_batches(store.conn, log.chunk(0, 2), MASTER)
    before = store.rows("r")
    with pytest.raises(Stale):
        store_batches(store.conn, stale, MASTER)
    assert store.rows("r") == before
    assert store.value("SELECT next_offset FROM metal.consumed WHERE topic = 'metal.outbox'") == 2


def test_two_writers_of_one_partition_wait_for_one_another(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1])))
    with open_session(store.url) as other:
        with other.transaction():
            store_batches(other, log.chunk(), MASTER)
        with pytest.raises(Stale):
            store_batches(store.conn, log.chunk(), MASTER)
    assert len(store.rows("r")) == 1


def test_a_failure_in_the_middle_leaves_nothing(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1])), outbox.data("nowhere", people([2])))
    with pytest.raises(RunFails, match="nowhere"):
        store_batches(store.conn, log.chunk(), MASTER)
    assert store.rows("r") == []
    assert store.value("SELECT next_offset FROM metal.consumed WHERE topic = 'metal.outbox'") == 0
    assert store.value("SELECT count(*) FROM metal.watermarks") == 0


@pytest.mark.parametrize("how", ["stop", "drop", "fail", "gone"])
def test_batches_of_a_run_that_is_over_are_passed_by(store: Store, how: str) -> None:
    store.add_run("r")
    store.add_run("other")
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("person", people([1])), Outbox("other").data("person", people([7])))
    with store.conn.transaction():
        if how == "fail":
            transitions.fail_run(store.conn, "test", "r", "because")
        elif how == "gone":
            store.conn.execute("DELETE FROM metal.runs WHERE run = 'r'")
        else:
            transitions.stop(store.conn, "test", "r", drop_prepared=how == "drop")
    done = store_batches(store.conn, log.chunk(), MASTER)
    assert (done.rows, done.dropped) == (1, 1)
    assert [row[0] for row in store.rows("other")] == [7]


def test_a_lost_table_fails_its_run(store: Store) -> None:
    store.add_run("r")
    store.conn.execute("DROP TABLE outbox_r.person")
    log = Log()
    log.add(Outbox("r").data("person", people([1])))
    with pytest.raises(RunFails, match="has lost table person"):
        store_batches(store.conn, log.chunk(), MASTER)


def test_batches_that_do_not_go_together_fail_their_run(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(*(outbox.data("person", people([n]).drop(*["name"] * n)) for n in (0, 1)))
    with pytest.raises(RunFails, match="its batches do not all have the same columns"):
        store_batches(store.conn, log.chunk(), MASTER)


def test_a_batch_of_other_columns_fails_its_run(store: Store) -> None:
    store.add_run("r")
    for frame in (people([1]).drop("name"), people([1]).with_columns(pl.col("name").str.len_bytes())):
        log = Log()
        log.add(Outbox("r").data("person", frame))
        with pytest.raises(RunFails, match="name"):
            store_batches(store.conn, log.chunk(), MASTER)


def test_values_that_the_database_refuses_become_dead_letters_alone(store: Store) -> None:
    plans = {"event": TablePlan({"name": "string", "at": "timestamp"}, [], ["log"])}
    key = store.add_run("r", plans=plans)
    ids = list(range(1, 101))
    frame = pl.DataFrame({"_id": ids, "_src": [0] * 100, "_chg": [0] * 100, "name": [f"n{n}" for n in ids]}).select(
        pl.col("_id"),
        pl.col("_src").cast(pl.UInt16),
        pl.col("_chg").cast(pl.UInt64),
        pl.when(pl.col("_id") == 40).then(pl.lit("a\0b")).otherwise(pl.col("name")).alias("name"),
        pl.when(pl.col("_id") == 77).then(-(2**62)).otherwise(0).cast(pl.Datetime("us", "UTC")).alias("at"),
    )
    outbox, log = Outbox("r"), Log()
    log.add(outbox.data("event", frame))
    done = store_batches(store.conn, log.chunk(), MASTER)
    assert done.refused == 2
    assert [row[0] for row in store.rows("r", "event")] == [n for n in ids if n not in (40, 77)]
    letters = store.conn.execute("SELECT position->>'line', stage, col, reason FROM metal.dead_letters").fetchall()
    assert {(line, stage) for line, stage, _, _ in letters} == {("40", "review"), ("77", "review")}
    assert {column for _, _, column, _ in letters} == {None, "at"}
    assert all("a\0b" not in reason and "-14" not in reason for *_, reason in letters)
    assert stored(store.conn, "r") == {"event": 98}
    assert len(key) == 32
    log.add(outbox.end({"event": counts(100, 100)}))
    store_batches(store.conn, log.chunk(1), MASTER)
    assert store.state("r") == "prepared", store.value("SELECT reason FROM metal.runs")
    assert not store.ended("r")  # two letters are open


def test_moments_beyond_every_calendar_become_dead_letters_alone(store: Store) -> None:
    """Neither PostgreSQL nor polars has a year for them; one that wrapped around would be minus infinity."""
    plans = {"event": TablePlan({"d": "date", "at": "timestamp"}, [], ["log"])}
    key = store.add_run("r", plans=plans)
    days = [0, -(2**31), -(2**31) + 10_957, 2**31 - 1, None, 0, 0]
    moments = [0, 0, 0, 0, None, -(2**63), -(2**63) + 946_684_800_000_000]
    frame = pl.DataFrame({"_id": range(7), "_src": [0] * 7, "_chg": [0] * 7}).select(
        pl.col("_id"),
        pl.col("_src").cast(pl.UInt16),
        pl.col("_chg").cast(pl.UInt64),
        pl.Series("d", days, dtype=pl.Int32).cast(pl.Date),
        pl.Series("at", moments, dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
    )
    log = Log()
    log.add(Outbox("r").data("event", frame))
    assert store_batches(store.conn, log.chunk(), MASTER).refused == 5
    assert store.rows("r", "event") == [
        (0, 1, 0, 0, date(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)),
        (4, 1, 0, 0, None, None),
    ]
    query = "SELECT id, col, sealed FROM metal.dead_letters ORDER BY (position->>'line')::int"
    letters = store.conn.execute(query).fetchall()
    assert [column for _, column, _ in letters] == ["d"] * 3 + ["at"] * 2
    kept = [orjson.loads(unseal(key, sealed, name)) for name, _, sealed in letters]
    assert [row["d"] for row in kept] == [*(f"1970-01-01 and {day} days" for day in days[1:4]), *["1970-01-01"] * 2]
    assert [row["at"] for row in kept[3:]] == [f"1970-01-01 and {at} microseconds" for at in moments[5:]]


@pytest.mark.parametrize("seed", range(4))
def test_upserts_and_deletions_equal_a_dict(store: Store, seed: int) -> None:
    store.add_run("r", mode="continuous")
    chance = random.Random(seed)
    outbox, log = Outbox("r"), Log()
    oracle: dict[int, tuple[Any, ...]] = {}
    for epoch in range(12):
        for _ in range(chance.randrange(1, 4)):
            frames = []
            for _ in range(chance.randrange(1, 12)):
                n, op, salary = chance.randrange(15), int(chance.random() < 0.3), chance.random()
                frames.append(people([n], f"e{epoch}", salary, op))
                if op:
                    oracle.pop(n, None)
                else:
                    oracle[n] = (n, epoch + 1, n % 2, n % 4, n, f"e{epoch}", salary)
            log.add(outbox.data("person", pl.concat(frames), epoch=epoch, append=False))
    at = 0
    while at < len(log.messages):
        end = at + chance.randrange(1, 9)
        store_batches(store.conn, log.chunk(at, end), MASTER)
        at = min(end, len(log.messages))
    assert store.rows("r") == [oracle[n] for n in sorted(oracle)]
    assert stored(store.conn, "r") == {"person": len(oracle)}


def test_rows_appended_by_a_snapshot_are_changed_by_a_later_epoch(store: Store) -> None:
    store.add_run("r")
    outbox, log = Outbox("r"), Log()
    log.add(
        outbox.data("person", people([1, 2, 3])),
        outbox.data("person", people([2], "new"), epoch=1, append=False),
        outbox.data("person", people([3], op=1), epoch=1, append=False),
    )
    store_batches(store.conn, log.chunk(), MASTER)
    assert [(row[0], row[1], row[5]) for row in store.rows("r")] == [(1, 1, "x"), (2, 2, "new")]
    assert count(store.conn, "r", "person") == 2
    assert stored(store.conn, "r") == {"person": 2}


def waive(store: Store, run: str) -> None:
    store.conn.execute(
        "INSERT INTO metal.waivers (run, tables, actor, permit, reason, until)"
        """ VALUES (%s, '["person"]', 'bob', 'ada', 'x', now() + interval '1 hour')""",
        (run,),
    )


def test_what_is_not_anonymized_comes_sealed_and_no_other_way(store: Store) -> None:
    key = store.add_run("r")
    waive(store, "r")
    outbox, log = Outbox("r"), Log()
    header, plain = outbox.data("person", people([1, 2]))
    log.add((header, sealed_outbox.seal(people([1, 2]), key, "person")))
    assert store_batches(store.conn, log.chunk(), MASTER).rows == 2
    assert [row[0] for row in store.rows("r")] == [1, 2]
    other = sealed_outbox.seal(people([3]), key, "another")
    for payload in (plain, other):  # what came unsealed, or was sealed as another table's, is of somebody else
        header, _ = outbox.data("person", people([3]))
        single = Log(messages=[Message(1, payload, header, 0.0)])
        with pytest.raises(RunFails, match="does not open under the key of its run"):
            store_batches(store.conn, Chunk(single.place, 1, single.messages), MASTER)


def test_what_is_still_under_way_of_a_run_that_ended_is_dropped_unread(store: Store) -> None:
    key = store.add_run("r")
    waive(store, "r")
    outbox, log = Outbox("r"), Log()
    header, _ = outbox.data("person", people([1]))
    log.add((header, sealed_outbox.seal(people([1]), key, "person")))
    with store.conn.transaction():
        transitions.stop(store.conn, "me", "r")
    assert store_batches(store.conn, log.chunk(), MASTER).dropped == 1
    assert store.rows("r") == []
