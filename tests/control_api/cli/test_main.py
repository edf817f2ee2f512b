from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from control_api.actions import transitions
from control_api.cli.main import run as metal
from control_api.store import keys
from control_api.store.db import Connection

Ask = Callable[..., tuple[int, Any]]
TOKEN = "a-token-of-the-tests"


@pytest.fixture
def here(served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METAL_API", served)
    monkeypatch.setenv("METAL_API_TOKEN", TOKEN)
    monkeypatch.setenv("METAL_HOME", str(tmp_path / "home"))


@pytest.fixture
def ask(here: None, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The exit code, and the one document that a command prints with --json."""

    def run(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = metal([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def file(base: str, task_text: Callable[..., str]) -> str:
    path = Path(base, "small.yaml")
    path.write_text(task_text())
    return str(path)


def soon(url: str, change: Callable[[Connection, str], object]) -> threading.Thread:
    """Does that to the first run there is."""

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as conn:
            while (row := conn.execute("SELECT run FROM metal.runs").fetchone()) is None:
                time.sleep(0.05)
            with conn.transaction():
                change(conn, row[0])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_run_registers_releases_and_starts(ask: Ask, file: str) -> None:
    code, found = ask("run", file)
    assert code == 0
    assert (found["task"], found["state"], found["version"]) == ("small", "running", 1)
    assert {"run", "task", "state", "seconds", "tables"} <= set(found)
    assert set(found["tables"]["thing"]) == {"read", "prepared", "merged", "rejected", "dropped"}
    assert ask("task", "list")[1]["tasks"][0]["released"] is True
    assert ask("task", "show", "small")[1]["text"] == Path(file).read_text()
    assert ask("task", "runs", "small")[1]["runs"][0]["run"] == found["run"]
    for verb, state in (("pause", "paused"), ("resume", "running")):
        assert ask("task", verb, found["run"])[1]["state"] == state
    assert ask("task", "start", "small")[1]["run"] != found["run"]
    code, stopped = ask("task", "stop", found["run"], "--drop", "--reason", "enough")
    assert (stopped["state"], stopped["reason"]) == ("stopped", "enough")
    code, entries = ask("audit", "search", "--action", "run.stop")
    assert [one["detail"]["reason"] for one in entries["entries"]] == ["enough"]
    assert len(ask("audit", "tail", "-n", "3")[1]["entries"]) == 3
    code, checked = ask("audit", "verify")
    assert (code, checked["ok"]) == (0, True)
    head = f"{checked['head']['seq']}:{checked['head']['hash']}"
    assert ask("audit", "verify", "--head", head)[0] == 0
    assert ask("audit", "verify", "--head", f"{checked['head']['seq']}:{'0' * 64}")[0] == 1


def test_waiting_until_prepared_is_0(ask: Ask, url: str, file: str) -> None:
    thread = soon(url, lambda conn, run: transitions.mark_prepared(conn, "me", run))
    code, found = ask("run", file, "--wait")
    thread.join()
    assert (code, found["state"]) == (0, "prepared")


def test_a_run_that_fails_is_1_and_says_why(
    here: None, url: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = soon(url, lambda conn, run: transitions.fail_run(conn, "me", run, "too many rejects"))
    assert metal(["run", file, "--wait", "--json"]) == 1
    thread.join()
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "failed"
    assert "too many rejects" in said.err


def test_wrong_input_is_2(ask: Ask, file: str, base: str) -> None:
    for arguments in (
        ["run", f"{base}/none.yaml"],
        ["task", "start", "none"],
        ["task", "pause", "none"],
        ["task", "frob"],
        ["frob"],
        ["run"],
        ["audit", "tail", "--limit", "many"],
        ["audit", "verify", "--head", "x"],
    ):
        code, found = ask(*arguments)
        assert code == 2, arguments
        assert found["error"]["message"]
    Path(file).write_text("task: small\ntables: {}\n")
    code, found = ask("run", file)
    assert code == 2
    assert found["error"]["kind"] == "invalid-input"
    assert found["error"]["mistakes"][0]["file"] == file
    code, found = ask("task", "lint", file)
    assert code == 2
    assert found["mistakes"][0]["file"] == file


def test_a_conflict_is_2(ask: Ask, file: str) -> None:
    run = ask("run", file)[1]["run"]
    ask("task", "stop", run)
    code, found = ask("task", "resume", run)
    assert (code, found["error"]["kind"]) == (2, "conflict")


def test_an_api_that_is_away_is_3(ask: Ask, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_API", "http://127.0.0.1:1")
    code, found = ask("run", file)
    assert (code, found["error"]["kind"]) == (3, "unavailable")
    monkeypatch.delenv("METAL_API")
    for name in ("METAL_KAFKA", "METAL_POSTGRES"):
        monkeypatch.delenv(name, raising=False)
    assert ask("task", "list")[0] == 3


def test_a_wrong_token_is_4(ask: Ask, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAL_API_TOKEN", "wrong")
    code, found = ask("run", file)
    assert (code, found["error"]["kind"]) == (4, "denied")
    monkeypatch.delenv("METAL_API_TOKEN")
    assert ask("task", "list")[0] == 4


def test_secrets_of_the_environment_go_with_the_start(
    ask: Ask, base: str, conn: Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "task: hidden\nconnections:\n  shop: {type: postgres, url: {env: PLANTED_URL}}\ntables:\n  thing:\n"
        "    columns: {id: {type: int64}}\n    primary_key: {column: id, conflicts: drop_all}\n"
        "    sources: {shop: {connector: postgres, connection: shop, table: public.thing}}\n"
    )
    path = Path(base, "hidden.yaml")
    path.write_text(text)
    monkeypatch.setenv("PLANTED_URL", "postgresql://planted-secret@h/d")
    code, found = ask("run", str(path))
    assert code == 0, found
    assert keys.get_secrets(conn, bytes(32), found["run"]) == {"PLANTED_URL": "postgresql://planted-secret@h/d"}
    assert "planted-secret" not in json.dumps([found, ask("audit", "tail")[1], ask("task", "show", "hidden")[1]])


def test_for_people(here: None, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert metal(["run", file]) == 0
    assert metal(["task", "list"]) == 0
    assert metal(["task", "runs"]) == 0
    assert metal(["task", "show", "small"]) == 0
    assert metal(["audit", "tail"]) == 0
    assert metal(["task", "lint", file]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "prepared" in out
    assert "run.started" in out
    assert metal(["task", "pause", "none"]) == 2
    assert "there is no run 'none'" in capsys.readouterr().err


def test_help_is_quick_and_lists_the_commands() -> None:
    code = "import sys; from control_api.cli.main import main; sys.argv[1:] = ['--help']; main();"
    heavy = "print(sorted({'polars', 'fastapi', 'confluent_kafka', 'faust', 'httpx', 'psycopg'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + heavy],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NO_COLOR": "1"},
    )
    for command in ("run", "task", "audit", "demo", "api", "connect", "worker", "review", "up", "down", "status"):
        assert f" {command} " in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_no_argument_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert metal([]) == 0
    assert "metal" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["task", "pause"],
        ["task", "resume"],
        ["task", "finish"],
        ["task", "stop"],
        ["deadletter", "list"],
        ["deadletter", "show", "*", "a-letter"],
        ["deadletter", "replay", "*", "--all"],
        ["deadletter", "discard", "*", "--all"],
        ["outbox", "list"],
        ["outbox", "show", "*", "--table", "thing"],
        ["outbox", "export", "*", "--table", "thing"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_task_where_a_run_is_wanted(
    arguments: list[str], ask: Ask, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(name: str) -> str:
        given = [name if word == "*" else word for word in arguments]
        capsys.readouterr()
        assert metal(given if "*" in arguments else [*given, name]) == 2
        return capsys.readouterr().err

    command = " ".join(arguments[:2])
    first = ask("run", file)[1]["run"]
    assert f"small is a task, not a run; its running run is {first}: metal {command} {first}\n" in asked("small")
    assert "'none'; see: metal task runs\n" in asked("none")
    second = ask("task", "start", "small")[1]["run"]
    assert "it has several open runs, see: metal task runs small\n" in asked("small")
    for run in (first, second):
        assert ask("task", "stop", run)[0] == 0
    assert "it has no open run, see: metal task runs small\n" in asked("small")


@pytest.mark.parametrize("verb", ["start", "show", "runs"])
def test_a_run_or_a_file_where_a_task_is_wanted(
    verb: str, ask: Ask, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ask("run", file)[1]["run"]
    for name, said in (
        (run, f"{run} is a run of the task small, not a task: metal task {verb} small\n"),
        (file, f"{file} is a file, not a registered task: metal run {file}\n"),
        ("none", "there is no task 'none'"),
    ):
        assert metal(["task", verb, name]) == 2
        assert said in capsys.readouterr().err


def test_a_task_where_a_file_is_wanted(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert metal(["run", "small"]) == 2
    assert "metal task start small\n" in capsys.readouterr().err


def test_what_is_not_there_of_a_run_that_is_stays_what_it_is(
    ask: Ask, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ask("run", file)[1]["run"]
    assert metal(["deadletter", "show", run, "none"]) == 2
    assert capsys.readouterr().err == f"metal: run {run} has no dead letter none\n"
