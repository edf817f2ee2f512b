"""What can be asked of the benchmarks, and how figures are told."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import data, report, running
from benchmarks.figures import Figure, Target, rounded
from benchmarks.memory import sampled
from benchmarks.scenarios import demo
from benchmarks.session import Session
from benchmarks.watching import Arrivals, difference
from control_api.cli.commands import bench
from schemas.errors import Fatal, InvalidInput, NotFound


def asked(tmp_path: Path, *names: str, **changed: float) -> running.Asked:
    return running.Asked(names, 1, "tiny", tmp_path, changed)


def test_a_figure_is_the_median_beside_its_target() -> None:
    told = Figure("rows", "rows/s", [3.0, 1.0, 2.0], Target(">=", 2)).document()
    assert told == {
        "what": "rows",
        "value": 2,
        "unit": "rows/s",
        "runs": [3, 1, 2],
        "target": ">= 2",
        "met": True,
    }
    assert not Target("<=", 1.2).met(1.21)
    assert "target" not in Figure("rows", "", [1.0]).document()


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_rounding_keeps_four_digits(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=1e-3)


def test_names_and_parameters_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such benchmark"):
        running.chosen(["people", "poeple"])
    with pytest.raises(InvalidInput, match="no such parameter"):
        running.check_changed(asked(tmp_path, "start", keys=5))
    with pytest.raises(InvalidInput, match="NAME=NUMBER"):
        bench.parse(["records"])


def test_all_is_every_benchmark_in_order() -> None:
    assert running.chosen([]) == running.chosen(["all"]) == [*running.ORDER, *running.PARTS]
    assert running.chosen(["start", "people"]) == ["people", "start"]
    assert set(running.about()) == {*running.ORDER, *running.PARTS}


def test_parameters_of_every_scale(tmp_path: Path) -> None:
    for name in running.ORDER:
        module = running.found()[name]
        assert list(module.SCALES) == list(running.SCALES)
        assert len({tuple(given) for given in module.SCALES.values()}) == 1
    assert running.parameters("epoch", asked(tmp_path, "epoch", more=7.0))["more"] == 7


def test_a_report_names_the_command_that_measures_it_again(tmp_path: Path) -> None:
    changed = bench.parse(["rows=100", "most=1e3", "keys=5"])
    wanted = running.Asked(["privacy_lattice"], 1, "tiny", tmp_path, changed)
    (document,) = running.measured(wanted, lambda _: None)
    assert document["command"] == "metal bench privacy_lattice --scale tiny --runs 1 --set rows=100"
    assert document["parameters"]["rows"] == 100
    assert f"`{document['command']}`" in report.surroundings([document])
    words = document["command"].split()
    again = bench.parse([words[at + 1] for at, word in enumerate(words) if word == "--set"])
    assert running.parameters("privacy_lattice", asked(tmp_path, **again)) == document["parameters"]
    wanted = running.Asked(["privacy_mondrian"], 3, "full", tmp_path, changed)
    assert running.command("privacy_mondrian", wanted).endswith("--runs 3 --set rows=100 --set most=1000")
    assert running.command("start", wanted) == "metal bench start --scale full --runs 3"


def test_without_a_checkout_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    with pytest.raises(NotFound, match="clone the project"):
        bench.bench(list_=True)


def test_the_largest_memory_is_seen() -> None:
    child = subprocess.Popen(["sleep", "5"])
    try:
        with sampled(lambda: {child.pid: "worker", 2**22 + 1: "gone"}) as peaks:
            time.sleep(0.6)
    finally:
        child.kill()
        child.wait()
    assert list(peaks) == ["worker"]
    assert peaks["worker"].resident >= peaks["worker"].private > 0


class Visible:
    """Stands in for the review store: people become visible in the order they were sent."""

    def __init__(self) -> None:
        self.rows: set[int] = set()

    def present(self, ids: list[int]) -> set[int]:
        return self.rows & set(ids)


def test_arrivals_are_timed_from_when_they_were_sent() -> None:
    store = Visible()
    arrivals = Arrivals(store, every=10)  # type: ignore[arg-type]  # all that it asks of a watch
    now = time.time()
    arrivals.sent(0, 15, now - 3)
    arrivals.sent(15, 10, now - 1)
    assert not arrivals.look()
    store.rows |= {0, 10}
    assert not arrivals.look()
    store.rows.add(20)
    assert arrivals.look()
    assert sorted(at for at, _ in arrivals.delays) == [now - 3, now - 3, now - 1]
    assert [round(delay) for _, delay in arrivals.delays] == [3, 3, 1]


def test_difference_of_a_histogram() -> None:
    before = {"m_count,stage=merge": 2.0, "m_sum,stage=merge": 1.0}
    after = {"m_count,stage=merge": 4.0, "m_sum,stage=merge": 1.5, "m_count,stage=rules": 9.0}
    assert difference(after, before, "m", stage="merge") == (2.0, 0.5)


def test_data_is_written_once(tmp_path: Path) -> None:
    task = data.people_task(tmp_path, 1_000)
    assert data.size(task) > 100_000
    written = (task.parent / "data" / "crm.csv").stat().st_mtime_ns
    assert data.people_task(tmp_path, 1_000) == task
    assert (task.parent / "data" / "crm.csv").stat().st_mtime_ns == written
    lines = data.state_file(tmp_path, 500).read_text().splitlines()
    assert len(lines) == 501
    assert [line.partition(",")[0] for line in lines[1:]] == [str(n) for n in range(500)]


def checkout(folder: Path, recipe: str) -> None:
    (folder / "Makefile").write_text(
        f"install:\n\tmkdir -p .venv\ndemo: install\n\ttest -n '$(METAL_HOME)' -a ! -e '$(METAL_HOME)'\n\t{recipe}\n"
    )
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a fresh clone"]):
        subprocess.run(
            ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *command], cwd=folder, check=True
        )


def test_the_demo_is_timed_in_a_fresh_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkout(tmp_path, "sleep 0.3")
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path)
    said: list[str] = []
    figures = demo.measure(Session(None, tmp_path, 2, said.append), within=60).figures
    assert len(said) == 3  # the first fills the caches
    assert len(figures["demo_seconds"].runs) == 2
    assert 0.3 <= figures["stack_and_task_seconds"].value <= figures["demo_seconds"].value


def test_a_demo_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    checkout(tmp_path, "echo broken >&2; exit 3")
    monkeypatch.setattr(demo, "CHECKOUT", tmp_path)
    with pytest.raises(Fatal, match="broken"):
        demo.measure(Session(None, tmp_path, 1, lambda _: None), within=60)
