"""The benchmark of the search through levels at a tiny scale, without a stack."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scenarios import privacy_lattice
from benchmarks.session import Session


def test_at_a_tiny_scale(tmp_path: Path) -> None:
    outcome = privacy_lattice.measure(Session(None, tmp_path, 1, print), **privacy_lattice.SCALES["tiny"])
    assert len(outcome.figures) == len(outcome.details) == 4
    assert all(figure.value > 0 for figure in outcome.figures.values())
    assert outcome.details["500_0"]["suppressed"] == 0
    assert 0 < outcome.details["500_0.04"]["suppressed"] <= 20
    assert outcome.details["500_1"]["ncp"] <= outcome.details["500_0.04"]["ncp"] < outcome.details["500_0"]["ncp"]
