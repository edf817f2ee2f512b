"""The benchmark of Mondrian at a tiny scale, without a stack: both group the same census."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.checkers.arx_tables import write
from benchmarks.mondrian import QUASI_IDENTIFIERS, K, grouped, part
from benchmarks.scenarios import privacy_mondrian
from benchmarks.session import Session
from schemas.errors import Fatal


def test_a_process_tells_what_it_measured() -> None:
    told = privacy_mondrian._grouped("perturbed", 500)
    assert (told["rows"], told["k"], told["census"]) == (500, K, "generated")
    assert told["peak_bytes"] > told["classes"] > 1
    with pytest.raises(Fatal, match="invalid choice"):
        privacy_mondrian._grouped("other", 500)


def test_another_census_is_taken_from_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METAL_ADULT", str(tmp_path))
    with pytest.raises(Fatal, match="METAL_ADULT: there is no "):
        privacy_mondrian._grouped("repeated", 500)
    write(tmp_path)
    told = privacy_mondrian._grouped("repeated", 500)
    assert told["census"].startswith("adult-")
    assert told["classes"] > 1
    (tmp_path / "adult.csv").write_text("age;sex\n1;male\n")
    with pytest.raises(Fatal, match="has 1 people and lacks workclass"):
        privacy_mondrian._grouped("repeated", 500)


def test_at_a_tiny_scale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(privacy_mondrian, "_grouped", grouped)  # a process each takes long
    outcome = privacy_mondrian.measure(Session(None, tmp_path, 1, print), **privacy_mondrian.SCALES["tiny"])
    assert all(figure.value > 0 for figure in outcome.figures.values())
    assert all(one["least"] >= K for found in outcome.details.values() for one in found)
    assert outcome.details["perturbed_2000"][0]["classes"] > outcome.details["repeated_1000"][0]["classes"]


def test_perturbed_rows_are_near_the_census() -> None:
    census, other = part("repeated", 500, 1_000), part("perturbed", 500, 1_000)
    assert list(QUASI_IDENTIFIERS) == census.columns == other.columns
    assert (census["age"] - other["age"]).abs().max() == 2
    same = [(census[name] == other[name]).mean() for name in QUASI_IDENTIFIERS[1:]]
    assert all(0.9 < share <= 1 for share in same if share is not None)
    assert not census.equals(other)
