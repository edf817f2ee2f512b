"""The service, as a process, with a real broker and a real database that come and go."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psutil
import psycopg
import pytest

from connectors.review.session import open_session
from connectors.topics_admin import ensure_topics
from control_api.store import lanes
from deploy.stack import Endpoints
from schemas.headers import FINAL
from tests.connectors.review.conftest import MASTER, Store
from tests.connectors.review.outbox_messages import Outbox, counts, send, send_letters
from tests.connectors.review.processes import SESSION, Writers, asked, url_of, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.faults]

PARTITIONS, ROWS = 3, 200


@pytest.fixture
def live(stack: Endpoints, new_database: Callable[[], str]) -> Iterator[Store]:
    """A store whose partitions nobody has placed yet."""
    ensure_topics(stack.kafka.confluent())
    url = url_of(stack, psycopg.conninfo.conninfo_to_dict(new_database())["dbname"])
    with open_session(url) as conn:
        yield Store(url, conn)


@pytest.fixture
def writers(stack: Endpoints, live: Store, tmp_path: Path) -> Iterator[Writers]:
    found = Writers(stack, live.url, tmp_path)
    yield found
    found.end()


@pytest.fixture
def run(live: Store) -> str:
    name = f"r{random.randrange(10**9)}"
    live.add_run(name)
    return name


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def person(first: int, rows: int) -> pl.DataFrame:
    ids = pl.int_range(first, first + rows, eager=True).alias("_id")
    return pl.DataFrame(ids).select(
        pl.col("_id"),
        pl.lit(1, dtype=pl.UInt16).alias("_src"),
        (pl.col("_id") % 4).cast(pl.UInt64).alias("_chg"),
        pl.col("_id").alias("id"),
        pl.col("_id").cast(pl.String).alias("name"),
        (pl.col("_id") / 3).alias("salary"),
    )


def batches(run: str, each: int, ends: bool = True) -> list:
    """`each` batches in every partition, a tenth of them sent twice, then the ends."""
    chance = random.Random(run)
    outbox, sent, first = Outbox(run, PARTITIONS), [], 0
    for _ in range(each):
        for q in range(PARTITIONS):
            message = (outbox.partition(q), outbox.data("person", person(first, ROWS), q))
            sent += [message] * (2 if chance.random() < 0.1 else 1)
            first += ROWS
    if ends:
        n = each * ROWS
        sent += [(outbox.partition(q), outbox.end({"person": counts(n, n)}, q)) for q in range(PARTITIONS)]
    return sent


def check_complete(live: Store, run: str, each: int) -> None:
    found = live.conn.execute(f"SELECT count(*), count(DISTINCT _id), sum(_id) FROM outbox_{run}.person".encode())
    total = each * ROWS * PARTITIONS
    assert found.fetchone() == (total, total, total * (total - 1) // 2)
    assert live.value("SELECT prepared_at IS NOT NULL AND ended_at IS NOT NULL FROM metal.runs WHERE run = %s", run)


@pytest.mark.parametrize("place", ["review.after_copy", "review.after_commit"])
def test_killed_again_and_again_it_stores_everything_once(live: Store, writers: Writers, run: str, place: str) -> None:
    sent = batches(run, 20)
    third = len(sent) // 3
    for n, part in enumerate((sent[:third], sent[third : 2 * third], sent[2 * third :])):
        process = writers.start(f"{place}=kill:{n + 1}")
        send(writers.stack.kafka.confluent(), part)
        assert process.wait(40) == -signal.SIGKILL, writers.said()
    writers.start()
    wait_for(lambda: live.state(run) != "running", said=writers.said)
    assert live.state(run) == "prepared"
    check_complete(live, run, 20)


def test_a_stopped_writer_that_wakes_up_changes_nothing(live: Store, writers: Writers, run: str) -> None:
    """It stops in the middle of a transaction, holding its locks, for longer than the group waits for it."""
    stopped = writers.start("review.after_copy=stop:2")
    sent = batches(run, 20)
    send(writers.stack.kafka.confluent(), sent[:-PARTITIONS])
    wait_for(lambda: psutil.Process(stopped.pid).status() == psutil.STATUS_STOPPED, said=writers.said)
    writers.start()
    send(writers.stack.kafka.confluent(), sent[-PARTITIONS:])
    wait_for(lambda: live.state(run) != "running", 60, said=writers.said)
    check_complete(live, run, 20)
    stopped.send_signal(signal.SIGCONT)
    time.sleep(2 * SESSION)
    check_complete(live, run, 20)
    assert stopped.poll() is None


def test_writers_share_partitions_and_come_and_go(live: Store, writers: Writers, run: str) -> None:
    sent = batches(run, 30)
    writers.start()
    send(writers.stack.kafka.confluent(), sent[:40])
    port = free_port()
    second = writers.start(port=port)
    send(writers.stack.kafka.confluent(), sent[40:60])
    wait_for(lambda: asked(port, "/ready")[0] == 200, said=writers.said)
    second.terminate()
    assert second.wait(20) == 0, writers.said()
    send(writers.stack.kafka.confluent(), sent[60:])
    wait_for(lambda: live.state(run) != "running", said=writers.said)
    check_complete(live, run, 30)


def test_connections_that_are_cut_cost_nothing(live: Store, writers: Writers, run: str) -> None:
    writers.start()
    sent = batches(run, 30)
    for start in range(0, len(sent), 10):
        send(writers.stack.kafka.confluent(), sent[start : start + 10])
        live.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        time.sleep(0.1)
    wait_for(lambda: live.state(run) != "running", said=writers.said)
    check_complete(live, run, 30)


def test_says_whether_it_is_ready_and_what_it_did(live: Store, writers: Writers, run: str) -> None:
    port = free_port()
    writers.start(port=port)
    wait_for(lambda: asked(port, "/ready")[0] == 200, said=writers.said)
    send(writers.stack.kafka.confluent(), batches(run, 2))
    wait_for(lambda: live.state(run) != "running", said=writers.said)
    total = float(2 * ROWS * PARTITIONS)
    wait_for(lambda: f'metal_review_rows_total{{topic="metal.outbox"}} {total}' in asked(port, "/metrics")[1])
    shown = asked(port, "/metrics")[1]
    for name in ("bytes_total", "transaction_seconds", "lag_messages", "lag_seconds", "last_processed_timestamp"):
        assert f"metal_review_{name}" in shown
    assert asked(port, "/healthz")[0] == 200
    indexed = f"SELECT to_regclass('outbox_{run}._person_id') IS NOT NULL"
    wait_for(lambda: live.value(indexed), said=writers.said)


def test_letters_come_late_and_the_run_waits_for_them(live: Store, writers: Writers, run: str) -> None:
    kafka = writers.stack.kafka.confluent()
    key = live.conn.execute("SELECT 1").fetchone() and None
    outbox = Outbox(run)
    n = counts(ROWS + 2, ROWS, rejected=2)
    writers.start()
    data = outbox.data("person", person(0, ROWS))
    send(kafka, [(outbox.partition(0), data), (outbox.partition(0), outbox.end({"person": n}))])
    wait_for(lambda: live.value("SELECT coalesce(bool_or(final), false) FROM metal.watermarks"), said=writers.said)
    assert live.state(run) == "running"
    payload = outbox.letters(key or b"k" * 32, [{"id": 1}, {"id": 2}])
    send_letters(kafka, run, outbox.partition(0), payload)
    wait_for(lambda: live.state(run) == "prepared", said=writers.said)
    assert live.value("SELECT count(*) FROM metal.dead_letters WHERE run = %s", run) == 2
    assert not live.ended(run)


def test_a_run_ends_though_its_corrections_came_out_before_their_lane_was_done(
    live: Store, writers: Writers, run: str
) -> None:
    """The connect service notes that it has sent all of them after that; on a busy machine a second later."""
    kafka, outbox, place = writers.stack.kafka.confluent(), Outbox(run), Outbox(run).partition(0)
    writers.start()
    send_letters(kafka, run, place, outbox.letters(MASTER, [{"id": ROWS}]))
    said = counts(ROWS + 1, ROWS, rejected=1)
    send(kafka, [(place, outbox.data("person", person(0, ROWS))), (place, outbox.end({"person": said}))])
    wait_for(lambda: live.state(run) == "prepared", said=writers.said)
    with live.conn.transaction():  # what a replay does
        live.conn.execute("UPDATE metal.dead_letters SET state = 'replayed' WHERE run = %s", (run,))
        live.conn.execute("UPDATE metal.watermarks SET final = false WHERE run = %s", (run,))
        lanes.reopen(live.conn, run)
    (lane,) = lanes.claim(live.conn, "connect", 60.0, 1)
    said = counts(ROWS + 2, ROWS + 1, rejected=1)
    again = outbox.data("person", person(ROWS, 1), epoch=1)
    send(kafka, [(place, again), (place, outbox.end({"person": said}, epoch=FINAL + 1))])
    wait_for(
        lambda: live.value("SELECT min(closed) FROM metal.watermarks WHERE run = %s", run) == FINAL + 1,
        said=writers.said,
    )
    time.sleep(2)
    assert (live.state(run), live.ended(run)) == ("prepared", False)
    assert lanes.checkpoint(live.conn, run, lane.lane, lane.generation, {"epoch": FINAL + 1}, {}, True)
    wait_for(lambda: live.ended(run), said=writers.said)
    assert live.state(run) == "prepared"
    assert len(live.rows(run)) == ROWS + 1


def test_too_many_rejects_halt_the_run(live: Store, writers: Writers) -> None:
    run = f"r{random.randrange(10**9)}"
    live.add_run(run, rejects='{"share": 0.1, "count": 5}')
    live.conn.execute(
        "UPDATE metal.lanes SET read = %s WHERE run = %s AND lane = 0", ('{"person": {"read": 50, "rejected": 0}}', run)
    )
    writers.start()
    payload = Outbox(run).letters(MASTER, [{"id": n} for n in range(6)])
    send_letters(writers.stack.kafka.confluent(), run, 0, payload)
    wait_for(lambda: live.state(run) == "failed", said=writers.said)
    assert "6 of 50 records were rejected" in live.value("SELECT reason FROM metal.runs WHERE run = %s", run)


def test_fewer_rejects_than_the_limit_do_not(live: Store, writers: Writers) -> None:
    run = f"r{random.randrange(10**9)}"
    live.add_run(run, rejects='{"share": 0.1, "count": 5}')
    live.conn.execute(
        "UPDATE metal.lanes SET read = %s WHERE run = %s AND lane = 0", ('{"person": {"read": 60, "rejected": 0}}', run)
    )
    writers.start()
    send_letters(writers.stack.kafka.confluent(), run, 0, Outbox(run).letters(MASTER, [{"id": n} for n in range(6)]))
    wait_for(lambda: live.value("SELECT count(*) FROM metal.dead_letters WHERE run = %s", run) == 6)
    time.sleep(4)
    assert live.state(run) == "running"
