"""The broker and the database die and come back; the API says meanwhile that it can't, not that it broke."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from control_api.token import read_token
from tests.faults.feeds import Family
from tests.faults.inject import kill
from tests.faults.rig import Rig

pytestmark = [pytest.mark.stack, pytest.mark.faults]


def _answers(rig: Rig, address: str, seconds: float) -> set[int]:
    """The status codes of the API for so long."""
    seen, until = set(), time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            headers = {"Authorization": f"Bearer {read_token(rig.home)}"}
            seen.add(httpx.get(f"{address}/api/v1/runs", headers=headers, timeout=20).status_code)
        except httpx.TransportError:
            seen.add(0)
        time.sleep(0.05)
    return seen


@pytest.mark.parametrize("server", ["kafka", "postgres"])
def test_a_server_dies_and_comes_back(
    rig: Rig, tmp_path: Path, server: str, fault_seed: int, fault_rounds: int
) -> None:
    family = Family(tmp_path, seed=fault_seed)
    family.step(2_000)
    task = family.task(f"without_{server}", epoch=0.5)
    run = rig.start(task)
    address = rig.ends.api or ""
    for _ in range(fault_rounds):
        family.feed(1.5)
        kill(rig.pids(server)[0])
        assert _answers(rig, address, 2.0) <= {0, 200, 503}
        rig.ready()
    family.feed(1)
    rig.settles(run, lambda: family.oracle(task), seconds=120)
