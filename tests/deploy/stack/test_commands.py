"""metal up, down, status, scale as somebody types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from control_api.cli.commands.stack import parse, register
from deploy import stack
from schemas.errors import InvalidInput, Retriable
from tests.deploy.stack.conftest import FAKE

runner = CliRunner()


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("METAL_HOME", str(home))
    monkeypatch.setattr("deploy.stack.control.SERVICE_COMMAND", FAKE)
    made = typer.Typer()
    register(made)
    return made


def call(app: typer.Typer, *arguments: str) -> dict[str, object]:
    """Run a command with --json; its stdout must be one document and nothing else."""
    done = runner.invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_status_of_nothing(app: typer.Typer, home: Path) -> None:
    found = call(app, "status")
    assert found["state"] == "down"
    assert found["services"] == {name: [] for name in ("kafka", "postgres", "s3", *stack.SERVICES)}
    assert found["endpoints"] == {"api": None, "kafka": None, "postgres": None, "s3": None}
    assert not home.exists()


def test_up_status_scale_down(app: typer.Typer, home: Path) -> None:
    stack.up(home, {"api", "worker"}, command=FAKE)
    assert call(app, "up", "--only", "api,worker")["changed"] is False
    found = call(app, "scale", "worker=2")
    workers = found["services"]["worker"]  # type: ignore[index] # JSON of the contract
    assert [set(process) >= {"pid", "state", "port", "restarts"} for process in workers] == [True, True]
    assert call(app, "status")["state"] == "up"
    assert call(app, "down") == {"state": "down", "changed": True, "purged": False}
    assert call(app, "down", "--purge") == {"state": "down", "changed": False, "purged": True}
    assert not home.exists()


def test_a_terminal_gets_a_table(app: typer.Typer, home: Path) -> None:
    stack.up(home, {"api"}, command=FAKE)
    shown = runner.invoke(app, ["status"]).stdout
    assert "service" in shown
    assert "http://127.0.0.1:" in shown
    assert "up" in shown.splitlines()[0]


def test_scale_without_a_stack_cannot_reach_it(app: typer.Typer) -> None:
    with pytest.raises(Retriable, match="metal up"):
        runner.invoke(app, ["scale", "worker=2"], catch_exceptions=False)


def test_a_full_disk_means_that_the_stack_cannot_be_reached(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.stack.layout.LEAST_FREE", 1 << 62)
    with pytest.raises(Retriable, match="is full"):
        runner.invoke(app, ["up", "--only", "api"], catch_exceptions=False)


@pytest.mark.parametrize("text", ["worker", "worker=", "worker=-1", "worker=1.5", "wroker=1", "kafka=1", "worker=²"])
def test_counts_that_make_no_sense(text: str) -> None:
    with pytest.raises(InvalidInput, match="SERVICE=N"):
        parse(["connect=1", text])


def test_importing_the_commands_stays_cheap() -> None:
    """Every call of `metal` imports them: no server, no Kafka client, no Faust on the way."""
    script = (
        "import sys, control_api.cli.commands.stack; "
        "print({'faust', 'confluent_kafka', 'psycopg', 'psutil', 'jgo', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
