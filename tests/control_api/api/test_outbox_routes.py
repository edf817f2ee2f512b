"""Prepared records and dead letters over HTTP, and the commands that show them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import pytest

from control_api.cli.main import run as metal
from control_api.store.db import Connection
from tests.control_api.prepared import add_letters, expected, fill

pytestmark = pytest.mark.stack


@pytest.fixture
def run(conn: Connection, new_run: Callable[..., str]) -> str:
    name = new_run()
    fill(conn, name)
    return name


@pytest.fixture
def command(
    served: str, token: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> Callable[..., tuple[int, bytes]]:
    monkeypatch.setenv("METAL_API", served)
    monkeypatch.setenv("METAL_API_TOKEN", token)

    def call(*arguments: str) -> tuple[int, bytes]:
        capfdbinary.readouterr()
        code = metal(arguments)
        return code, capfdbinary.readouterr().out

    return call


def test_tables_pages_and_records(api: httpx.Client, run: str, conn: Connection) -> None:
    tables = api.get(f"/runs/{run}/outbox").json()["tables"]
    assert [(one["table"], one["records"], one["columns"]["n"]) for one in tables] == [("t", 3, "decimal")]
    conn.execute("UPDATE metal.runs SET prepared_at = clock_timestamp() WHERE run = %s", (run,))
    conn.commit()
    assert api.get(f"/runs/{run}").json()["tables"]["t"]["prepared"] == 3
    conn.execute("INSERT INTO metal.stored VALUES (%s, 't', 0, 40000000)", (run,))
    conn.commit()  # no look at the rows
    assert api.get(f"/runs/{run}/outbox").json()["tables"][0]["records"] == 40_000_000
    assert api.get(f"/runs/{run}").json()["tables"]["t"]["prepared"] == 40_000_000
    first = api.get(f"/runs/{run}/outbox/t", params={"limit": 2}).json()
    second = api.get(f"/runs/{run}/outbox/t", params={"limit": 2, "cursor": first["next"]}).json()
    assert [row["_id"] for row in first["items"] + second["items"]] == [-1, 0, 1]
    assert second["next"] is None
    assert api.get(f"/runs/{run}/outbox/t/records/0").json()["_source"] == "erp"
    assert api.get(f"/runs/{run}/outbox/t", params={"cursor": "x"}).status_code == 400
    assert api.get(f"/runs/{run}/outbox/u").status_code == 404
    assert api.get("/runs/nobody/outbox").status_code == 404


def test_export_is_a_file_and_audited(api: httpx.Client, run: str, conn: Connection) -> None:
    answer = api.get(f"/runs/{run}/outbox/t/export", params={"format": "parquet"})
    assert pq.read_table(io.BytesIO(answer.content)).to_pylist() == [expected(n) for n in range(3)]
    assert answer.headers["content-disposition"] == 'attachment; filename="t.parquet"'
    assert conn.execute("SELECT actor FROM metal.audit WHERE action = 'outbox.exported'").fetchall() == [("tester",)]
    assert api.get(f"/runs/{run}/outbox/t/export", params={"format": "xls"}).status_code == 400
    assert api.get(f"/runs/{run}/outbox/u/export").status_code == 404


def test_letters_are_listed_shown_replayed_and_discarded(api: httpx.Client, run: str, conn: Connection) -> None:
    names = add_letters(conn, run, [{"id": n, "name": "raw"} for n in range(3)])
    found = api.get(f"/runs/{run}/deadletters", params={"limit": 2}).json()
    assert [one["id"] for one in found["items"]] == names[:2]
    assert found["counts"] == {"open": 3, "replayed": 0, "discarded": 0}
    assert "record" not in api.get(f"/runs/{run}/deadletters/{names[0]}").json()
    shown = api.get(f"/runs/{run}/deadletters/{names[0]}", params={"reveal": True}).json()
    assert shown["record"] == {"id": 0, "name": "raw"}
    path = f"/runs/{run}/deadletters"
    assert api.post(f"{path}/replay", json={}).status_code == 400
    assert api.post(f"{path}/replay", json={"letters": names[:1], "all": True}).status_code == 400
    assert api.post(f"{path}/replay", json={"letters": names[:1], "set": {"id": 5}}).json()["replayed"] == 1
    assert api.post(f"{path}/replay", json={"letters": names[:1]}).status_code == 409
    assert api.post(f"{path}/discard", json={"all": True}).json()["discarded"] == 2


def test_letters_need_the_token(api: httpx.Client, run: str) -> None:
    for path in (f"/runs/{run}/deadletters", f"/runs/{run}/outbox/t/export"):
        assert api.get(path, headers={"Authorization": ""}).status_code == 401


def test_commands_show_and_export(command: Callable[..., tuple[int, bytes]], run: str, tmp_path: Path) -> None:
    code, out = command("outbox", "list", run, "--json")
    assert (code, orjson.loads(out)["tables"][0]["records"]) == (0, 3)
    code, out = command("outbox", "show", run, "--table", "t", "--json")
    assert [row["_id"] for row in orjson.loads(out)["records"]] == [-1, 0, 1]
    code, out = command("outbox", "export", run, "--table", "t")
    assert (code, len(out.splitlines())) == (0, 3)
    file = tmp_path / "t.parquet"
    code, out = command("outbox", "export", run, "--table", "t", "--format", "parquet", "-o", str(file), "--json")
    assert (code, orjson.loads(out)["bytes"]) == (0, file.stat().st_size)
    assert pq.read_table(file).num_rows == 3
    assert command("outbox", "export", run, "--table", "u", "-o", str(tmp_path / "u"))[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_commands_correct_and_replay(
    command: Callable[..., tuple[int, bytes]], run: str, conn: Connection, tmp_path: Path
) -> None:
    names = add_letters(conn, run, [{"id": n, "name": "raw"} for n in range(3)])
    code, out = command("deadletter", "list", run, "--json")
    assert (code, [one["id"] for one in orjson.loads(out)["letters"]]) == (0, names)
    code, out = command("deadletter", "show", run, names[0], "--json")
    assert orjson.loads(out)["record"] == {"id": 0, "name": "raw"}
    file = tmp_path / "corrected.jsonl"
    file.write_bytes(orjson.dumps({"_letter": names[1], "id": 9, "name": "right"}) + b"\n")
    assert orjson.loads(command("deadletter", "replay", run, "--file", str(file), "--json")[1])["replayed"] == 1
    code, out = command("deadletter", "replay", run, names[0], "--set", "id=3", "--set", "name=x", "--json")
    assert orjson.loads(out)["replayed"] == 1
    code, out = command("deadletter", "discard", run, "--all", "--json")
    assert orjson.loads(out)["discarded"] == 1
    file.write_text('{"id": 1}\nnot json\n')
    code, out = command("deadletter", "replay", run, "--file", str(file), "--json")
    assert (code, len(orjson.loads(out)["error"]["mistakes"])) == (2, 2)
