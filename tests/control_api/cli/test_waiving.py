"""Permits and runs without anonymization, as they are typed."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_api.actions.context import Context
from control_api.cli import client
from control_api.cli.main import run as metal
from control_api.store.db import Connection
from control_api.store.runs import list_runs
from tests.control_api.prepared import fill
from tests.control_api.waived import TEXT, audited, permit, release

pytestmark = pytest.mark.stack
OFF = ("--without-anonymization", "--reason", "a check")
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(served: str, token: str, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Say:
    """The exit code, stdout and stderr."""
    for name, value in {
        "METAL_API": served,
        "METAL_API_TOKEN": token,
        "METAL_HOME": str(tmp_path / "home"),
        "METAL_POSTGRES": url,
        "METAL_KAFKA": "127.0.0.1:1",
        "NO_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("METAL_PERMIT", raising=False)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = metal([*map(str, arguments)])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "people.task.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def mine(say: Say, tmp_path: Path) -> Path:
    path = tmp_path / "ada.permit"
    assert say("permit", "give", "ada", "--output", path)[0] == 0
    return path


def test_a_permit_is_a_file_of_its_own_and_can_be_taken_back(
    say: Say, mine: Path, task: Path, conn: Connection
) -> None:
    assert stat.S_IMODE(mine.stat().st_mode) == 0o600
    code, out, _ = say("permit", "list", "--json")
    assert [(one["holder"], one["state"]) for one in json.loads(out)["permits"]] == [("ada", "counts")]
    assert mine.read_text().strip() not in out
    code, _, err = say("permit", "give", "bob", "--output", mine)  # what is there is not written over
    assert (code, "name a new file" in err) == (2, True)
    assert [one[1] for one in audited(conn, "permit.given")] == ["ada"]
    assert say("run", task, *OFF, "--permit", mine)[0] == 0
    assert say("permit", "revoke", "ada")[0] == 0
    code, _, err = say("run", task, *OFF, "--permit", mine)
    assert (code, "it was revoked" in err) == (4, True)
    assert say("permit", "revoke", "ada")[0] == 2
    assert "revoked" in say("permit", "list")[1]


def test_a_run_without_anonymization_says_so_wherever_it_is_told(
    say: Say, mine: Path, task: Path, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert say("run", task)[0] == 0
    code, out, err = say(
        "task", "start", "people", *OFF, "--table", "person", "--keep", "3", "--permit", mine, "--json"
    )
    assert (code, err.count("WARNING")) == (0, 1)
    told = json.loads(out)["without_anonymization"]
    assert (told["tables"], told["permit"], told["reason"]) == (["person"], "ada", "a check")
    monkeypatch.setenv("METAL_PERMIT", str(mine))
    code, _, err = say("run", task, *OFF)
    assert (code, "does not anonymize person, place" in err) == (0, True)
    listed = say("task", "runs")[1].splitlines()
    assert [("OFF" in line, " on" in line) for line in listed[1:]] == [(True, False), (True, False), (False, True)]
    assert say("task", "show", "people")[2].count("WARNING") == 2
    assert "WARNING" not in say("task", "start", "people")[2]  # a permit at hand turns nothing off
    assert [bool(one.waiver) for one in list_runs(conn)] == [False, True, True, False]


def test_without_a_permit_it_is_4_and_audited(say: Say, task: Path, conn: Connection) -> None:
    code, out, _ = say("run", task, *OFF, "--json")
    assert (code, json.loads(out)["error"]["kind"]) == (4, "denied")
    assert "anonymization.off" in json.loads(out)["error"]["message"]
    assert len(audited(conn, "permission.refused")) == 1
    assert list_runs(conn) == []


def test_what_is_no_permit_or_open_to_others_is_sent_to_nobody(
    say: Say, mine: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(client.Client, "post", lambda *given, **_: sent.append(given))
    mine.chmod(0o640)
    code, _, err = say("run", task, *OFF, "--permit", mine)
    assert (code, "chmod 600" in err) == (4, True)
    other = tmp_path / "api.token"
    other.write_text("a-token-of-the-tests-that-is-long-enough\n")
    other.chmod(0o600)
    code, _, err = say("run", task, *OFF, "--permit", other)
    assert (code, "is no permit" in err, other.read_text().strip() in err) == (2, True, False)
    code, _, err = say("run", task, *OFF, "--permit", tmp_path / "none")
    assert (code, "can't be read" in err) == (2, True)
    assert sent == []


@pytest.mark.parametrize("more", [("--reason", "x"), ("--table", "person"), ("--keep", "2")])
def test_options_of_it_without_it_are_refused(say: Say, task: Path, conn: Connection, more: tuple[str, ...]) -> None:
    code, _, err = say("run", task, *more)
    assert (code, "goes with --without-anonymization" in err) == (2, True)
    assert list_runs(conn) == []


def test_a_reason_is_needed(say: Say, task: Path, mine: Path) -> None:
    for reason in ((), ("--reason", " ")):
        code, _, err = say("run", task, "--without-anonymization", *reason, "--permit", mine)
        assert (code, "takes a reason" in err) == (2, True)


def test_rows_come_with_a_warning_and_not_without_a_permit(
    say: Say, mine: Path, conn: Connection, new_run: Callable[..., str], tmp_path: Path
) -> None:
    run, data = new_run(state="prepared"), tmp_path / "t.csv"
    fill(conn, run)
    assert say("outbox", "show", run, "--table", "t")[2] == ""
    conn.execute(
        "INSERT INTO metal.waivers (run, tables, actor, permit, reason, until)"
        """ VALUES (%s, '["t"]', 'bob', 'ada', 'a check', now() + interval '1 hour')""",
        (run,),
    )
    conn.commit()
    for command in (("show",), ("show", "--id", "0"), ("export", "--output", data)):
        here = ("outbox", command[0], run, "--table", "t", *command[1:])
        assert say(*here)[0] == 4
        code, _, err = say(*here, "--permit", mine)
        assert (code, f"run {run} does not anonymize t" in err) == (0, True)
    assert data.exists()
    assert len(audited(conn, "outbox.shown")) == 2
    assert len(audited(conn, "outbox.exported")) == 1


def test_a_certificate_of_it_ends_with_its_own_answer(
    say: Say, mine: Path, conn: Connection, new_run: Callable[..., str], ctx: Context, tmp_path: Path, api: httpx.Client
) -> None:
    release(ctx, tmp_path)
    body = {"task": "people", "without_anonymization": {"reason": "a check", "tables": ["person"]}}
    run = api.post("/runs", json=body, headers={"X-Metal-Permit": permit(conn)}).json()["run"]
    conn.execute("UPDATE metal.runs SET state = 'prepared', prepared_at = now() WHERE run = %s", (run,))
    person, place = (f'"outbox_{run}"."{name}"' for name in ("person", "place"))
    conn.execute(f"INSERT INTO {person} (_id, id, name, age) VALUES (1, 1, 'Eva', 31), (2, 2, 'Ian', 44)".encode())
    conn.execute(f"INSERT INTO {place} (_id, id, town) VALUES (1, 1, NULL)".encode())
    conn.commit()
    found = {}
    for table in ("person", "place"):
        cert, data = tmp_path / f"{table}.json", tmp_path / f"{table}.csv"
        shown = say("certificate", "show", run, "--table", table, "--output", cert)
        assert (shown[0], "WARNING" in shown[2]) == (0, table == "person")
        assert say("outbox", "export", run, "-t", table, "--format", "csv", "-o", data, "--permit", mine)[0] == 0
        found[table] = (json.loads(cert.read_text()), say("certificate", "verify", cert, data))
    assert api.get(f"/runs/{run}/releases").json()["releases"] == []  # what promises nothing is no release of it
    document, (code, out, err) = found["person"]
    assert (document["anonymization"], document["anonymized"]) == ("off", False)
    assert (document["methods"], document["guarantees"]) == ([], [])
    waiver = document["waiver"]
    assert (waiver["tables"], waiver["by"], waiver["permit"], waiver["reason"]) == (
        ["person"],
        "tester",
        "ada",
        "a check",
    )
    assert (code, out) == (5, f"{tmp_path / 'person.json'}: as certified: NOT ANONYMIZED\n")
    assert "nothing is guaranteed" in err
    assert "permit of ada" in err
    told = json.loads(say("certificate", "verify", tmp_path / "person.json", tmp_path / "person.csv", "--json")[1])
    assert (told["ok"], told["anonymization"], told["mismatches"]) == (False, "off", [])
    document, (code, out, err) = found["place"]
    assert (document["anonymization"], document["anonymized"], len(document["methods"])) == ("on", True, 1)
    assert (code, out) == (0, f"{tmp_path / 'place.json'}: as certified\n")
    assert "anonymization of person was turned off" in err
    (tmp_path / "person.csv").write_text("id,name,age\n1,Eva,32\n2,Ian,44\n")
    assert say("certificate", "verify", tmp_path / "person.json", tmp_path / "person.csv")[0] == 1
