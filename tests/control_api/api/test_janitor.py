from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from connectors.topics_admin import ensure_topics
from control_api.actions import transitions
from control_api.api.changelogs import Changelogs
from control_api.api.janitor import Janitor, retention_hours
from control_api.api.metrics import Metrics
from control_api.api.trim import GROUP, trim
from control_api.store import keys, lanes, outbox, retention, runs, waivers
from control_api.store.db import Connection
from control_api.store.outbox import TablePlan
from deploy.stack import Endpoints
from schemas.errors import InvalidInput, NotFound
from schemas.topics import EXTRACTED, MERGE_STATE, OUTBOX, partition_of
from tests.control_api.waiting import until

NewRun = Callable[..., str]


@pytest.fixture(scope="session")
def kafka(stack: Endpoints) -> dict[str, Any]:
    settings = stack.kafka.confluent()
    ensure_topics(settings)
    until(lambda: coordinated(settings), 30)
    return settings


def coordinated(kafka: dict[str, Any]) -> bool:
    """Whether the broker tells what the group has acknowledged: one that has just come up refuses for a moment."""
    consumer = Consumer({**kafka, "group.id": GROUP})
    try:
        consumer.committed([TopicPartition(EXTRACTED.name, 0)], timeout=10)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def fill(kafka: dict[str, Any], topic: str, partition: int, count: int = 10) -> int:
    """Adds messages; the offset behind the last of them."""
    producer = Producer(kafka)
    for _ in range(count):
        producer.produce(topic, key=b"x", value=b"x", partition=partition)
    assert producer.flush(20) == 0
    return bounds(kafka, topic, partition)[1]


def bounds(kafka: dict[str, Any], topic: str, partition: int) -> tuple[int, int]:
    consumer = Consumer({**kafka, "group.id": "test"})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10, cached=False)
    consumer.close()
    return low, high


def acknowledge(kafka: dict[str, Any], topic: str, partition: int, offset: int) -> None:
    consumer = Consumer({**kafka, "group.id": GROUP, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    consumer.close()


def alter(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def consumed(conn: Connection, partition: int, offset: int) -> None:
    conn.execute(
        "INSERT INTO metal.consumed VALUES (%s, %s, %s)"
        " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
        (OUTBOX.name, partition, offset),
    )
    conn.commit()


def test_a_prepared_run_that_nobody_touches_is_deleted(
    url: str, conn: Connection, new_run: NewRun, kafka: dict[str, Any]
) -> None:
    old, young, busy = new_run(), new_run("small-bbbbbbbb"), new_run("small-cccccccc")
    for run in (old, young):
        outbox.create_tables(conn, run, "snapshot", {"thing": TablePlan({"id": "int64"}, [], ["file"])})
        transitions.mark_prepared(conn, "me", run)
    conn.execute("UPDATE metal.runs SET prepared_at = now() - interval '25 hours' WHERE run = %s", (old,))
    conn.execute("UPDATE metal.runs SET created_at = now() - interval '25 hours' WHERE run = %s", (busy,))
    conn.commit()
    janitor = Janitor(url, kafka, Metrics(), hours=24)
    with psycopg.connect(url, autocommit=True) as own:
        janitor.sweep(own)
        janitor.sweep(own)
    gone = runs.get_run(conn, old)
    assert (gone.state, gone.reason) == ("stopped", "nothing was done with it for 24 hours")
    assert outbox.plans_of(conn, old) == {}
    with pytest.raises(NotFound):
        keys.get_key(conn, bytes(32), old)
    assert runs.get_run(conn, young).state == "prepared"
    assert list(outbox.plans_of(conn, young)) == ["thing"]
    assert keys.get_key(conn, bytes(32), young)
    assert runs.get_run(conn, busy).state == "running"


def test_rows_of_a_failed_run_go_as_well(url: str, conn: Connection, new_run: NewRun, kafka: dict[str, Any]) -> None:
    run = new_run()
    outbox.create_tables(conn, run, "snapshot", {"thing": TablePlan({"id": "int64"}, [], ["file"])})
    transitions.fail_run(conn, "me", run, "why")
    conn.execute("UPDATE metal.runs SET ended_at = now() - interval '25 hours'")
    conn.commit()
    with psycopg.connect(url, autocommit=True) as own:
        Janitor(url, kafka, Metrics(), hours=24).sweep(own)
    assert outbox.plans_of(conn, run) == {}
    assert runs.get_run(conn, run).state == "failed"


def test_rows_that_are_not_anonymized_go_when_their_time_is_over(
    url: str, conn: Connection, new_run: NewRun, kafka: dict[str, Any]
) -> None:
    names = ("small-aaaaaaaa", "small-bbbbbbbb", "small-cccccccc", "small-dddddddd")
    over, ended, failed, young = (new_run(name) for name in names)
    for run in (over, ended, failed, young):
        outbox.create_tables(conn, run, "snapshot", {"thing": TablePlan({"id": "int64"}, [], ["file"])})
        waivers.put(conn, run, ["thing"], "bob", "ada", "a check", 1 if run == young else 1e-9)
    transitions.mark_prepared(conn, "me", ended)
    transitions.end_run(conn, "me", ended)
    transitions.fail_run(conn, "me", failed, "why")
    conn.commit()
    assert waivers.holding(conn) == 4
    with psycopg.connect(url, autocommit=True) as own:
        janitor = Janitor(url, kafka, Metrics(), hours=24)
        janitor.sweep(own)
        janitor.sweep(own)
    conn.rollback()
    assert [run for run in names if outbox.plans_of(conn, run)] == [young]
    assert [runs.get_run(conn, run).state for run in names] == ["stopped", "stopped", "failed", "running"]
    assert waivers.holding(conn) == 1
    with pytest.raises(NotFound):
        keys.get_key(conn, bytes(32), over)
    told = conn.execute(
        "SELECT subject, detail->>'reason' FROM metal.audit WHERE action = 'run.prepared_deleted' ORDER BY subject"
    ).fetchall()
    assert told == [
        (run, "its rows are not anonymized, and the time is over for which they were kept") for run in names[:3]
    ]


@pytest.mark.parametrize("text", ["", "0.5", "24"])
def test_retention(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("METAL_RETENTION", text)
    assert retention_hours() == float(text or 24)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_a_retention_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("METAL_RETENTION", text)
    with pytest.raises(InvalidInput, match="METAL_RETENTION"):
        retention_hours()


def test_with_no_run_open_everything_acknowledged_goes(conn: Connection, kafka: dict[str, Any]) -> None:
    end = fill(kafka, EXTRACTED.name, 0)
    acknowledge(kafka, EXTRACTED.name, 0, end - 2)
    stored = fill(kafka, OUTBOX.name, 0)
    consumed(conn, 0, stored)
    gone = trim(conn, kafka, Changelogs())
    assert gone[EXTRACTED.name] >= 8
    assert bounds(kafka, EXTRACTED.name, 0) == (end - 2, end)
    assert bounds(kafka, OUTBOX.name, 0) == (stored, stored)
    assert trim(conn, kafka, Changelogs()) == {}


def test_of_a_changelog_goes_what_was_there_before_an_open_run_began(
    conn: Connection, kafka: dict[str, Any], new_run: NewRun
) -> None:
    changelogs = Changelogs()
    over = fill(kafka, MERGE_STATE.name, 1)
    trim(conn, kafka, changelogs)
    assert bounds(kafka, MERGE_STATE.name, 1) == (over - 1, over)
    first = new_run()
    of_first = fill(kafka, MERGE_STATE.name, 1)
    trim(conn, kafka, changelogs)
    new_run("small-bbbbbbbb")
    of_both = fill(kafka, MERGE_STATE.name, 1)
    trim(conn, kafka, changelogs)
    assert bounds(kafka, MERGE_STATE.name, 1) == (over - 1, of_both)
    transitions.mark_prepared(conn, "me", first)
    trim(conn, kafka, changelogs)
    assert bounds(kafka, MERGE_STATE.name, 1)[0] == over - 1  # it may be asked for corrections still
    transitions.end_run(conn, "me", first)
    trim(conn, kafka, changelogs)
    assert bounds(kafka, MERGE_STATE.name, 1) == (of_first - 1, of_both)


def test_a_changelog_that_an_earlier_version_has_made_is_left_to_compaction(
    conn: Connection, kafka: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    admin, policy = AdminClient(kafka), MERGE_STATE.settings["cleanup.policy"]
    end = fill(kafka, MERGE_STATE.name, 2)
    stored = fill(kafka, OUTBOX.name, 2)
    consumed(conn, 2, stored)
    alter(admin, MERGE_STATE.name, "cleanup.policy", "compact")
    try:
        before = bounds(kafka, MERGE_STATE.name, 2)
        for _ in range(2):
            gone = trim(conn, kafka, Changelogs())
            assert MERGE_STATE.name not in gone
        assert bounds(kafka, MERGE_STATE.name, 2) == before
        assert bounds(kafka, OUTBOX.name, 2) == (stored, stored)
        told = capsys.readouterr().out
        assert told.count(MERGE_STATE.name) == 1
        assert "set retention.ms and retention.bytes to -1, then cleanup.policy to compact,delete" in told
    finally:
        alter(admin, MERGE_STATE.name, "cleanup.policy", policy)
    trim(conn, kafka, Changelogs())
    assert bounds(kafka, MERGE_STATE.name, 2) == (end - 1, end)


def test_a_run_that_reads_in_full_is_trimmed_behind_between_two_sweeps(
    url: str, conn: Connection, kafka: dict[str, Any], new_run: NewRun
) -> None:
    janitor = Janitor(url, kafka, Metrics(), every=3600)
    swept = threading.Event()
    janitor.sweep = lambda _: swept.set()  # type: ignore[method-assign]
    new_run("small-eeeeeeee", mode="continuous")
    assert not retention.any_in_full(conn)
    run = new_run()
    assert retention.any_in_full(conn)
    janitor.start()
    try:
        assert swept.wait(20)
        stored = fill(kafka, OUTBOX.name, 0)
        consumed(conn, 0, stored)
        until(lambda: bounds(kafka, OUTBOX.name, 0) == (stored, stored), 30)
    finally:
        janitor.stop()
        janitor.join(20)
    transitions.mark_prepared(conn, "me", run)
    assert not retention.any_in_full(conn)


def test_while_a_run_is_open_its_lanes_can_be_read_back(
    conn: Connection, kafka: dict[str, Any], new_run: NewRun
) -> None:
    partitions = ensure_topics(kafka)
    run = new_run("small-dddddddd")
    lanes.plan(conn, run, [], 2, 2)
    held, fresh = (partition_of(run, lane, partitions) for lane in range(2))
    ends = {at: fill(kafka, EXTRACTED.name, at) for at in (held, fresh)}
    for at, end in ends.items():
        acknowledge(kafka, EXTRACTED.name, at, end)
    lanes.claim(conn, "a", 60, 2)
    lanes.checkpoint(conn, run, 0, 1, {"offset": ends[held] - 6}, {}, False)
    conn.commit()
    trim(conn, kafka, Changelogs())
    assert bounds(kafka, EXTRACTED.name, held) == (ends[held] - 5, ends[held])
    assert bounds(kafka, EXTRACTED.name, fresh)[0] <= ends[fresh] - 10  # no checkpoint: all of it may be needed
    lanes.checkpoint(conn, run, 1, 1, {}, {}, True)
    transitions.stop(conn, "me", run)
    conn.commit()
    trim(conn, kafka, Changelogs())
    for at, end in ends.items():
        assert bounds(kafka, EXTRACTED.name, at) == (end, end)
