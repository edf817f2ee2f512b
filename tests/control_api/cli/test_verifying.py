"""Certificates checked against published files, in every format and after every kind of change."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from control_api.actions.examine import Asked, examine
from control_api.cli.main import run as metal
from control_api.cli.published import read
from control_api.store import outbox_export
from processors.privacy.certificates.certificate import Facts, make
from processors.privacy.certificates.finding import breadths_of
from processors.privacy.certificates.signature import public_key, sign
from processors.privacy.guarantees.requested import Request, requests_of
from schemas.columns import ColumnType, polars_type
from schemas.task.model import Method
from tests.control_api.prepared import PLAN, ROWS

SECRET = bytes(range(32))
WRITE: dict[str, Any] = {
    "csv": outbox_export._csv,
    "jsonl": outbox_export._json_lines,
    "parquet": outbox_export._parquet,
}
COLUMNS: dict[str, ColumnType] = {
    "age": "string",
    "zip": "string",
    "illness": "string",
    "who": "string",
    "pay": "int64",
}
METHODS = [
    Method(
        method="generalize",
        quasi_identifiers=["age", "zip"],
        k=2,
        suppression_limit=0.5,
        subject="who",
        l={"illness": {"kind": "distinct", "l": 2}},
        t={"pay": {"distance": "ordered", "t": 0.5}},
    ),
    Method(method="mask", columns={"who": {"keep_last": 1}}),
]
Say = Callable[..., tuple[int, dict[str, Any]]]


def people() -> pl.DataFrame:
    rows = [
        ("20..29", "10*", "flu", "a", 1),
        ("20..29", "10*", "cold", "b", 3),
        ("30..39", "", "flu", "c", 2),
        ("30..39", "", "ache", "d", 4),
        ("30..39", "", "cold", "e", 3),
        (None, None, "flu", "f", 2),
        (None, None, "cold", "g", 3),
    ]
    return pl.DataFrame(rows, schema={name: polars_type(kind) for name, kind in COLUMNS.items()}, orient="row")


def asked(request: Request, suppressed: int) -> Asked:
    return Asked(request, suppressed, lambda frame: breadths_of(frame, request, {"age": "int64"}))


def certified(frame: pl.DataFrame, suppressed: int = 1) -> dict[str, Any]:
    examined = examine([frame], COLUMNS, [asked(one, suppressed) for one in requests_of(METHODS)])
    facts = Facts(
        run="small-aaaaaaaa",
        task="small",
        task_version=1,
        code_version="1",
        mode="snapshot",
        table="person",
        columns=COLUMNS,
        rows=examined.rows,
        digest=examined.digest,
        methods=METHODS,
        anonymized=True,
        issued="2026-11-21T00:00:00Z",
    )
    return sign(make(facts, examined.findings), SECRET, facts.issued)


def save(path: Path, frame: pl.DataFrame) -> str:
    path.write_bytes(b"".join(WRITE[path.suffix[1:]](iter([frame.head(0), frame]))))
    return str(path)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def verify(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = metal(["certificate", "verify", *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return verify


@pytest.fixture
def cert(tmp_path: Path) -> Path:
    path = tmp_path / "cert.json"
    path.write_bytes(orjson.dumps(certified(people())))
    return path


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_empty_value_is_null_unless_it_is_quoted(tmp_path: Path, end: str) -> None:
    columns: dict[str, ColumnType] = {"a": "string", "b": "string"}
    for last, value in (("", None), ('""', "")):
        (tmp_path / "x.csv").write_text(f'a,b\nx,y\n"1",{last}{end}')
        assert [row for piece in read([tmp_path / "x.csv"], columns) for row in piece.rows()] == [
            ("x", "y"),
            ("1", value),
        ]


@pytest.mark.parametrize("form", list(WRITE))
def test_what_is_as_certified_is_0(say: Say, cert: Path, tmp_path: Path, form: str) -> None:
    data = save(tmp_path / f"people.{form}", people().sample(fraction=1, shuffle=True, seed=4))
    code, found = say(cert, data, "--key", public_key(SECRET))
    assert (code, found) == (
        0,
        {"ok": True, "signer": public_key(SECRET), "mismatches": [], "anonymization": "on", "waiver": None},
    )


def test_a_table_may_lie_in_several_files(say: Say, cert: Path, tmp_path: Path) -> None:
    parts = [save(tmp_path / "a.csv", people().head(3)), save(tmp_path / "b.parquet", people().tail(4))]
    assert say(cert, *parts)[0] == 0
    assert say(cert, parts[0])[0] == 1


@pytest.mark.parametrize("form", list(WRITE))
def test_every_type_comes_back_from_every_format(tmp_path: Path, form: str) -> None:
    rows = [
        *ROWS,
        {"f": -0.0, "n": Decimal("100"), "s": "-", "d": date(9999, 12, 31), "t": datetime(1, 1, 1, tzinfo=UTC)},
        {"f": 5e-324, "s": "\x01é\N{GRINNING FACE}", "y": b""},
        {"f": float("nan"), "n": Decimal("-0.001")},
    ]
    schema = {name: polars_type(kind) for name, kind in PLAN.columns.items()}
    frame = pl.DataFrame({name: [row.get(name) for row in rows] for name in schema}, schema=schema)
    data = save(tmp_path / f"t.{form}", frame)
    original, again = (examine(one, PLAN.columns, []) for one in ([frame], read([Path(data)], PLAN.columns)))
    assert (again.rows, again.digest) == (original.rows, original.digest)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_null_is_no_empty_text(tmp_path: Path, form: str) -> None:
    frame = pl.DataFrame({"s": [None, "", "a", None]}, schema={"s": pl.String})
    data = save(tmp_path / f"t.{form}", frame)
    assert pl.concat(read([Path(data)], {"s": "string"}))["s"].to_list() == [None, "", "a", None]


def change(frame: pl.DataFrame, row: int, column: str, value: Any) -> pl.DataFrame:
    there = pl.int_range(pl.len()) == row
    return frame.with_columns(pl.when(there).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


@pytest.mark.parametrize(
    ("changed", "kinds"),
    [
        (lambda f: f.head(6), {"rows", "digest", "k", "l", "t", "loss", "suppression"}),
        (lambda f: change(f, 0, "who", "z"), {"digest"}),
        (lambda f: change(f, 0, "age", "30..39"), {"digest", "k", "l", "t", "loss"}),
        (lambda f: change(f, 1, "illness", "flu"), {"digest", "l"}),
        (lambda f: change(f, 1, "who", "a"), {"digest", "k"}),
        (lambda f: change(f, 1, "pay", 4), {"digest", "t"}),
        (lambda f: f.drop("pay"), {"columns"}),
        (lambda f: f.with_columns(more=1), {"columns"}),
        (lambda f: f.with_columns(pay=pl.lit("much")), {"columns"}),
    ],
)
def test_every_change_of_the_data_has_its_words(
    say: Say, cert: Path, tmp_path: Path, changed: Callable[[pl.DataFrame], pl.DataFrame], kinds: set[str]
) -> None:
    code, found = say(cert, save(tmp_path / "people.parquet", changed(people())))
    assert code == 1
    assert {one["kind"] for one in found["mismatches"]} == kinds, found["mismatches"]


def test_a_changed_certificate_is_told(say: Say, cert: Path, tmp_path: Path) -> None:
    data = save(tmp_path / "people.csv", people())
    document = json.loads(cert.read_text())
    document["guarantees"][0]["reached"]["k"] = 5
    cert.write_text(json.dumps(document))
    code, found = say(cert, data)
    assert (code, found["signer"]) == (1, None)
    assert {one["kind"]: one["message"] for one in found["mismatches"]} == {
        "signature": "the signature does not fit: the certificate is not what was signed",
        "k": "in classes by age, zip k is 2, the certificate says 5",
    }


def test_a_certificate_of_somebody_else_is_told(say: Say, cert: Path, tmp_path: Path) -> None:
    data, own, other = save(tmp_path / "people.csv", people()), tmp_path / "key.txt", public_key(bytes(32))
    code, found = say(cert, data, "--key", other)
    assert code == 1
    assert [one["kind"] for one in found["mismatches"]] == ["signature"]
    assert other in found["mismatches"][0]["message"]
    own.write_text(f"did:key:{public_key(SECRET)}\n")
    assert say(cert, data, "--key", own)[0] == 0


def test_a_guarantee_that_is_missed_is_told_though_the_certificate_admits_it(
    say: Say, cert: Path, tmp_path: Path
) -> None:
    short = people().with_columns(illness=pl.lit("flu"))
    cert.write_bytes(orjson.dumps(certified(short, suppressed=20)))
    code, found = say(cert, save(tmp_path / "people.csv", short))
    assert code == 1
    assert [(one["kind"], one["message"].partition(" in classes")[0]) for one in found["mismatches"]] == [
        ("l", "in classes by age, zip distinct l of illness is 1; 2 was requested"),
        ("suppression", "in classes by age, zip 74.07% of the records are suppressed; the limit is 50.00%"),
    ]


def test_wrong_input_is_2(say: Say, cert: Path, tmp_path: Path) -> None:
    data = save(tmp_path / "people.csv", people())
    odd = tmp_path / "odd.json"
    odd.write_text('{"release": 1}')
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    for arguments in (
        (odd, data),
        (tmp_path / "none.json", data),
        (data, data),
        (cert, broken),
        (cert, tmp_path / "none.csv"),
        (cert, tmp_path / "people.xls"),
        (cert, data, "--key", "z6MkNot"),
    ):
        code, found = say(*arguments)
        assert code == 2, arguments
        assert found["error"]["mistakes"]


def test_people_are_told_in_words(cert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert metal(["certificate", "verify", str(cert), save(tmp_path / "people.csv", people())]) == 0
    said = capsys.readouterr()
    assert said.out == f"{cert}: as certified\n"
    assert "signed with z6Mk" in said.err
