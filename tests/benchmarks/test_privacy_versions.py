"""The benchmark of comparing versions at a tiny scale, without a stack."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scenarios import privacy_versions
from benchmarks.session import Session


def test_at_a_tiny_scale(tmp_path: Path) -> None:
    outcome = privacy_versions.measure(Session(None, tmp_path, 1, print), **privacy_versions.SCALES["tiny"])
    assert len(outcome.figures) == len(outcome.details) == 5
    assert outcome.details["500_0"] == {}
    assert outcome.details["500_0.05"]
