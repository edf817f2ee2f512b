"""Certificates of prepared tables: made from the rows in PostgreSQL, over the API and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psycopg
import pytest
from psycopg.types.json import Json, Jsonb

from connectors.review.rows import append
from control_api.actions import certificates
from control_api.actions.context import Context
from control_api.actions.transitions import end_run
from control_api.cli.main import run as metal
from control_api.store import keys, tasks
from control_api.store.db import Connection
from control_api.store.keys import signing_key
from control_api.store.outbox import TablePlan, create_tables
from control_api.store.runs import get_run
from control_api.store.totals import report
from processors.privacy.certificates.signature import public_key, verify
from schemas import batch
from schemas.errors import Conflict, Fatal, NotFound
from schemas.task.model import Task
from tests.control_api.prepared import fill

pytestmark = pytest.mark.stack
RUN = "small-aaaaaaaa"
PLAN = TablePlan({"age": "int64", "zip": "string", "illness": "string", "pay": "decimal"}, [], ["file"])
SPEC = Task.model_validate(
    {
        "task": "small",
        "tables": {
            "person": {
                "columns": {name: {"type": kind} for name, kind in PLAN.columns.items()} | {"gone": {"type": "string"}},
                "anonymize": [
                    {
                        "method": "generalize",
                        "quasi_identifiers": ["age", "zip"],
                        "k": 2,
                        "suppression_limit": 0.25,
                        "l": [{"column": "illness", "l": 2}],
                        "t": [{"column": "pay", "distance": "ordered", "t": 0.6}],
                        "subject": "gone",
                    }
                ],
            }
        },
    }
)


def people() -> pl.DataFrame:
    rows = [(20, "1*", "flu", "1.50"), (20, "1*", "cold", "2"), (None, "", "flu", "3"), (None, "", "cold", None)]
    return pl.DataFrame(rows, schema=[*PLAN.columns], orient="row").with_columns(
        pl.col("pay").cast(pl.Decimal(38, 9)), _id=pl.int_range(4), _src=pl.lit(0), _chg=pl.lit(0, pl.UInt64)
    )


@pytest.fixture
def run(conn: Connection, new_run: Callable[..., str]) -> str:
    new_run(RUN, "prepared")
    conn.execute("UPDATE metal.tasks SET spec = %s", (Json(tasks.dump(SPEC)),))
    create_tables(conn, RUN, "snapshot", {"person": PLAN})
    append(conn, RUN, "person", PLAN, batch.table_of(batch.encode(people())), 1)
    counts = {"read": 5, "prepared": 4, "dropped": {certificates.SUPPRESSED: 1}}
    conn.execute("INSERT INTO metal.counts VALUES (%s, 'relate/0', 'person', %s)", (RUN, Json(counts)))
    conn.commit()
    return RUN


@pytest.fixture
def command(
    served: str, token: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("METAL_API", served)
    monkeypatch.setenv("METAL_API_TOKEN", token)

    def call(*arguments: str | Path) -> tuple[int, str]:
        capfd.readouterr()
        return metal([*map(str, arguments)]), capfd.readouterr().out

    return call


def test_what_is_exported_is_what_was_certified(
    command: Callable[..., tuple[int, str]], run: str, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.json", command("certificate", "key")[1].strip()
    assert command("certificate", "show", run, "--table", "person", "--output", cert)[0] == 0
    document = json.loads(cert.read_text())
    (guarantee,) = document["guarantees"]
    assert guarantee["reached"]["k"] == 2
    assert guarantee["suppression"] == {"records": 1, "share": 0.2, "limit": 0.25}
    assert document["release"]["rows"] == 4
    for form in ("csv", "jsonl", "parquet"):
        data = tmp_path / f"person.{form}"
        assert command("outbox", "export", run, "--table", "person", "--format", form, "-o", data)[0] == 0
        code, out = command("certificate", "verify", cert, data, "--key", key)
        assert (code, out) == (0, f"{cert}: as certified\n")
    data.with_suffix(".csv").write_text("age,zip,illness,pay\n20,1*,flu,1.5\n")
    assert command("certificate", "verify", cert, data.with_suffix(".csv"))[0] == 1


def test_presence_is_certified_as_the_run_told_it_of_the_rows_that_are_published(
    ctx: Context, conn: Connection, run: str
) -> None:
    spec = tasks.dump(SPEC)
    spec["tables"]["person"]["anonymize"][0]["presence"] = {"population": {"table": "all"}, "delta": [0, 0.5]}
    spec["tables"]["all"] = {"columns": {name: spec["tables"]["person"]["columns"][name] for name in ("age", "zip")}}
    conn.execute("UPDATE metal.tasks SET spec = %s", (Json(spec),))

    def reached(**told: Any) -> Any:
        conn.execute("UPDATE metal.counts SET counts = counts || %s", (Jsonb(told),))
        conn.commit()
        return certificates.certify(ctx, "ann", run, "person")["guarantees"][0]["reached"].get("presence")

    assert reached() is None
    told = {"population": "all", "least": 0.125, "most": 0.4, "evidence": "run"}
    assert reached(presence=[0.125, 0.4]) == told
    assert reached(prepared=5) is None, "of a row that isn't published nothing was told"
    assert "presence" not in report(conn, get_run(conn, run))["tables"]["person"]


def test_what_was_set_apart_is_certified_with_its_groups(
    command: Callable[..., tuple[int, str]], conn: Connection, new_run: Callable[..., str], tmp_path: Path
) -> None:
    run = new_run(RUN, "prepared")
    columns = {"city": {"type": "string"}, "illness": {"type": "string"}}
    method = {"method": "anatomize", "sensitive": "illness", "l": 2}
    spec = {"task": "small", "tables": {"person": {"columns": columns, "anonymize": [method]}}}
    conn.execute("UPDATE metal.tasks SET spec = %s", (Json(tasks.dump(Task.model_validate(spec))),))
    plans = {
        "person": TablePlan({"city": "string", "group": "int64"}, [], ["file"]),
        "person_illness": TablePlan({"group": "int64", "illness": "string", "count": "int64"}, [], []),
    }
    create_tables(conn, run, "snapshot", plans)
    own = {"_id": range(4), "_src": [0] * 4, "_chg": [0] * 4}
    rows = {
        "person": {"city": ["Oslo", "Rome", "Rome", "Oslo"], "group": [1, 1, 2, 2]},
        "person_illness": {"group": [1, 1, 2, 2], "illness": ["flu", "cold", "flu", None], "count": [1] * 4},
    }
    for table, plan in plans.items():
        frame = pl.DataFrame({**own, **rows[table]}, schema_overrides={"_chg": pl.UInt64})
        append(conn, run, table, plan, batch.table_of(batch.encode(frame)), 1)
    conn.commit()
    found = {}
    for table in plans:
        cert, data = tmp_path / f"{table}.json", tmp_path / f"{table}.csv"
        assert command("certificate", "show", run, "-t", table, "-o", cert)[0] == 0
        assert command("outbox", "export", run, "-t", table, "--format", "csv", "-o", data)[0] == 0
        assert command("certificate", "verify", cert, data)[0] == 0
        found[table] = json.loads(cert.read_text())
    assert all(one["anonymized"] and one["methods"][0]["method"] == "anatomize" for one in found.values())
    reached = {table: one["guarantees"][0]["reached"] for table, one in found.items()}
    assert reached["person"]["k"] == 2
    assert reached["person_illness"]["diversity"] == [{"column": "illness", "kind": "distinct", "l": 2.0}]


def test_every_type_is_certified(
    command: Callable[..., tuple[int, str]], conn: Connection, new_run: Callable[..., str], tmp_path: Path
) -> None:
    run, cert = new_run(state="prepared"), tmp_path / "cert.json"
    fill(conn, run, 7)
    assert command("certificate", "show", run, "-t", "t", "-o", cert)[0] == 0
    assert json.loads(cert.read_text())["anonymized"] is False
    for form in ("csv", "jsonl", "parquet"):
        data = tmp_path / f"t.{form}"
        assert command("outbox", "export", run, "-t", "t", "--format", form, "-o", data)[0] == 0
        assert command("certificate", "verify", cert, data)[0] == 0, form


def test_it_is_audited_stored_and_signed(api: httpx.Client, run: str, conn: Connection) -> None:
    path = f"/runs/{run}/outbox/person/certificate"
    assert api.get(path).status_code == 404
    made = api.post(path).json()
    assert verify(made) == api.get("/certificates/key").json()["key"]
    assert api.get(path).json() == made
    found = conn.execute("SELECT actor, detail FROM metal.audit WHERE action = 'certificate.made'").fetchall()
    assert found == [("tester", {"table": "person", "rows": 4, "digest": made["release"]["digest"]["value"]})]
    assert api.post(f"/runs/{run}/outbox/none/certificate").status_code == 404
    assert api.post("/runs/none/outbox/person/certificate").status_code == 404
    assert api.get("/runs/none/outbox/person/certificate").status_code == 404


def test_a_run_that_may_change_is_certified_anew_and_one_that_ended_once(
    ctx: Context, run: str, conn: Connection
) -> None:
    def digest() -> Any:
        return certificates.certify(ctx, "me", run, "person")["release"]["digest"]["value"]

    first = digest()
    conn.execute(f"UPDATE \"outbox_{run}\".person SET zip = '2*' WHERE zip = '1*'".encode())
    conn.commit()
    second = digest()
    assert second != first
    end_run(conn, "me", run)
    conn.commit()
    assert digest() == second
    conn.execute(f'DELETE FROM "outbox_{run}".person'.encode())
    conn.commit()
    assert digest() == second  # nothing is read again


def test_what_is_not_prepared_is_not_certified(ctx: Context, run: str, conn: Connection) -> None:
    conn.execute("UPDATE metal.runs SET state = 'running'")
    conn.commit()
    with pytest.raises(Conflict, match="running"):
        certificates.certify(ctx, "me", run, "person")
    with pytest.raises(NotFound):
        certificates.certify(ctx, "me", "none", "person")


def test_the_signing_key_is_made_once_and_sealed(conn: Connection, url: str) -> None:
    with psycopg.connect(url) as other:
        made = signing_key(other, bytes(32))
    assert signing_key(conn, bytes(32)) == made
    row = conn.execute("SELECT sealed, public FROM metal.signing_key").fetchone()
    assert row is not None
    assert made not in row[0]
    assert row[1] == public_key(made)
    with pytest.raises(Fatal, match="another master key"):
        keys.signing_key(conn, bytes(range(32)))
