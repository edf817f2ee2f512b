import os
import subprocess
import sys

import pytest

from connectors import failpoints
from schemas.errors import Fatal

PASSES = "from connectors.failpoints import hit\nfor n in range(5):\n    print(n, flush=True)\n    hit('a.place')"


def run(setting: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "METAL_FAILPOINTS": setting}
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_kills_at_the_first_pass() -> None:
    done = run("a.place=kill")
    assert (done.returncode, done.stdout.split()) == (-9, ["0"])


def test_kills_at_the_nth_pass_and_leaves_other_places_alone() -> None:
    done = run("b.place=kill, a.place=kill:3")
    assert (done.returncode, done.stdout.split()) == (-9, ["0", "1", "2"])


def test_does_nothing_when_unset() -> None:
    done = run("")
    assert (done.returncode, len(done.stdout.split())) == (0, 5)


@pytest.mark.parametrize("setting", ["x", "x=", "=kill", "x=boom", "x=kill:0", "x=kill:many"])
def test_refuses_what_it_does_not_understand(setting: str) -> None:
    with pytest.raises(Fatal, match="METAL_FAILPOINTS"):
        failpoints.parse(setting)
