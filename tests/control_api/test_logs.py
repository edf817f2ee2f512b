from __future__ import annotations

import json
import subprocess
import sys

import pytest

from control_api.logs import HIDDEN, strip_secrets

PROGRAM = """
import logging, structlog
from control_api.logs import setup
log = structlog.get_logger()
setup("worker")
log.info("said", rows=3, password="planted", nested={"api_key": "planted"}, record={"name": "planted"})
structlog.get_logger("metal.part").info("a part said", url="postgresql://me:planted@host/db")
logging.getLogger("some.library").warning("connecting to http://me:%s@host", "planted")
logging.getLogger("some.library").info("not shown")
try:
    raise ValueError("why")
except ValueError:
    log.exception("broke", sealed=b"planted")
"""


def test_every_line_is_json_without_secrets() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines][:2] == ["said", "a part said"]
    assert len(lines) == 4
    assert {line["service"] for line in lines} == {"worker"}
    assert lines[0]["rows"] == 3
    assert lines[0]["password"] == HIDDEN
    assert "ValueError: why" in lines[3]["exception"]
    assert "planted" not in done.stderr


@pytest.mark.parametrize(
    "name", ["key", "run_key", "API_KEY", "secret", "db_password", "token", "sealed", "record", "raw", "values"]
)
def test_fields_that_are_taken_out(name: str) -> None:
    assert strip_secrets(None, "info", {name: "planted"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["rows", "records", "keys_known", "table", "partition", "monkey", "tokens"])
def test_fields_that_stay(name: str) -> None:
    assert strip_secrets(None, "info", {name: 1}) == {name: 1}


def test_bytes_and_collections() -> None:
    told = strip_secrets(
        None, "info", {"event": "x", "payload": b"planted", "many": ["a://u:planted@h", {"pwd": "planted"}]}
    )
    assert "planted" not in str(told)
