"""Every benchmark that needs a stack works, at a scale that says nothing about speed, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from benchmarks.report import table
from tests.faults.rig import Rig, document

pytestmark = pytest.mark.stack
SCENARIOS = ("people", "topic", "scale", "latency", "epoch", "recovery", "start", "privacy_engine")
FIGURES = {
    "people": {"records_per_second", "megabytes_per_second", "bound_records_per_second", "share_of_bound"},
    "topic": {"records_per_second", "bound_records_per_second", "share_of_bound"},
    "latency": {"epoch_2s_p50", "epoch_2s_p99", "epoch_0_3s_p50", "epoch_0_3s_p99"},
    "recovery": {"with_local_state", "without_local_state"},
    "start": {"first_record_seconds"},
    "privacy_engine": {"grouped_rows_per_second_2000", "records_per_second_4000", "largest_process_gib_4000"},
}


def test_all_at_a_tiny_scale(rig: Rig, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    where = ["--data", str(tmp_path / "data"), "--output", str(output)]
    told = document(rig.metal("bench", *SCENARIOS, "--scale", "tiny", "--runs", "1", *where, "--json"))
    assert [one["benchmark"] for one in told["benchmarks"]] == list(SCENARIOS)
    assert json.loads(output.read_text()) == told
    for one in told["benchmarks"]:
        figures = one["figures"]
        assert FIGURES.get(one["benchmark"], set()) <= set(figures), one["benchmark"]
        assert all(figure["value"] > 0 for figure in figures.values()), one
        assert one["machine"]["cores"] > 0
        assert len(one["load_before"]) == 3
        assert one["parameters"]
        assert one["versions"]["postgres"]
    people = told["benchmarks"][0]["details"]["runs"][0]
    counts = people["counts"]["person"]
    assert people["bound"]["rows"] == counts["prepared"] > 0
    assert counts["read"] == 4_000
    assert {"kafka", "postgres", "api", "connect", "worker", "review"} <= set(people["memory"])
    assert "| start | task start to first prepared record | <= 1.5 |" in table(told["benchmarks"])
    _nothing_left(rig)


def _nothing_left(rig: Rig) -> None:
    assert rig.query("SELECT run FROM metal.runs WHERE ended_at IS NULL") == []
    schemas = rig.query(
        "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'outbox_') OR nspname = 'metal_bench'"
    )
    assert schemas == []
    topics = AdminClient(rig.ends.kafka.confluent()).list_topics(timeout=10).topics
    assert not [name for name in topics if name.startswith("bench.live.")]
