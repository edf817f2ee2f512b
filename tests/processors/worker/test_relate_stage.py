"""The relate stage with an outlet that keeps what it is given: what it counts, and what it rejects, epoch by epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

import processors.anonymize
import processors.rules
from processors.anonymize.protocol import Anonymization
from processors.merge.resolve import IDENT
from processors.plan import compile_task
from processors.rules.protocol import Rule
from processors.worker.directory import RunInfo
from processors.worker.relate_stage import RelateStage
from processors.worker.run_part import RunPart
from processors.worker.shape import related
from schemas import batch, events, sealing, topics
from schemas.columns import CHANGED, IDENTITY, OP, SOURCE
from schemas.discovery import discover
from schemas.headers import FINAL, Header
from schemas.task.model import Task
from tests.processors.worker.folder import Folder

KEY = bytes(range(32))
TASK = {
    "task": "t",
    "tables": {
        "sale": {
            "columns": {"id": {"type": "int64"}, "n": {"type": "int64"}, "paid": {"type": "string"}},
            "primary_key": {"column": "id", "conflicts": "drop_all"},
            "sources": {"s": {"connector": "csv", "path": "x.csv"}},
        },
        "line": {
            "from": {"sale": {}},
            "transform": [{"filter": "sale.n > 0"}, {"derive": {"paid_as": "cast(sale.paid as decimal)"}}],
        },
        "total": {
            "from": {"sale": {}},
            "transform": [
                {
                    "aggregate": {
                        "by": ["sale.n"],
                        "columns": {"sum": "sum(cast(sale.paid as int))"},
                        "small_groups": "publish",
                    }
                }
            ],
        },
    },
}


class Kept(Folder):
    """What sends batches, too."""

    partitions = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.batches: list[tuple[Header, bytes]] = []
        self.letters: list[dict[str, Any]] = []

    async def send(self, topic: str, partition: int, header: Header, payload: bytes) -> Awaitable[Any]:
        assert topic == topics.OUTBOX.name
        self.batches.append((header, payload))
        return asyncio.sleep(0)

    async def send_plain(self, topic: str, partition: int, key: bytes, payload: bytes) -> Awaitable[Any]:
        assert (topic, key) == (topics.DEADLETTER.name, b"run")
        event = events.decode("dead_letters", payload)
        self.letters += [letter | {"table": event["table"], "stage": event["stage"]} for letter in event["letters"]]
        return asyncio.sleep(0)


class One:
    """Stands in for the directory and the parts of one run."""

    def __init__(self, info: RunInfo, kept: Kept) -> None:
        self._info = info
        self.part = RunPart(0, info, kept)  # type: ignore[arg-type]  # all that it asks of a table

    async def get(self, run: str) -> RunInfo:
        return self._info


class Stage:
    """A relate stage that is told what the merge stage would tell it."""

    def __init__(self, folder: Path, mode: str) -> None:
        task = Task.model_validate(TASK | {"mode": mode})
        plan = compile_task(task, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
        self.info = RunInfo("run", "t", mode, 1, 1, plan, KEY)
        self.kept = Kept(folder)
        self._one = One(self.info, self.kept)
        parts: Any = type("Parts", (), {"get": lambda _, partition, info: self._one.part})()
        directory: Any = self._one
        outlet: Any = self.kept
        self._stage = RelateStage(directory, outlet, parts)
        self._offset = 0
        self._closes = 0

    def restart(self) -> None:
        """Another worker takes over: only what is durable is known."""
        self._one.part = RunPart(0, self.info, self.kept)  # type: ignore[arg-type]  # as above

    def epoch(self, rows: Sequence[tuple[int, int | None, str | None]], gone: Sequence[int] = (), end: int = 0) -> Any:
        """The counts that stand behind it."""
        schema = {IDENT: pl.UInt64, "id": pl.Int64, "n": pl.Int64, "paid": pl.String}
        frame = pl.DataFrame([(row[0], *row) for row in rows], schema=schema, orient="row").with_columns(
            pl.lit(0, dtype=pl.UInt16).alias(SOURCE), pl.lit(0, dtype=pl.UInt64).alias(CHANGED)
        )
        left = pl.DataFrame({IDENT: gone}, schema={IDENT: pl.UInt64})
        ((_, payload),) = related(frame, left, self.info.plan.tables["sale"], self.info, self._closes)
        self._closes += 1
        counts = {"sale": {"read": 0, "merged": 0, "rejected": 0, "dropped": {}}}
        self._tell("data", "sale", len(rows) + len(gone), {}, payload)
        self._tell("end", "", 0, {"counts": counts}, b"", end or self._closes)
        header, _ = self.kept.batches[-1]
        assert header.kind == "end"
        return header.extra["counts"]

    def _tell(self, kind: Any, table: str, rows: int, extra: dict[str, Any], payload: bytes, epoch: int = 0) -> None:
        header = Header(kind, "t", "run", table, "merge/0", 0, self._offset, epoch, rows, extra)

        async def tell() -> None:
            for done in await self._stage.handle(0, self._offset, header, payload):
                await done

        asyncio.run(tell())
        self._offset += 1


ROWS: list[tuple[int, int | None, str | None]] = [(1, 1, "5"), (2, 1, "x"), (3, 0, "7"), (4, None, None), (5, 2, "1.5")]


def balanced(counts: dict[str, Any]) -> bool:
    gone = counts["merged"] + counts["rejected"] + sum(counts["dropped"].values())
    return bool(counts["read"] == counts["prepared"] + gone)


def told(stage: Stage) -> set[tuple[str, str, str, str]]:
    return {(one["table"], one["stage"], one["rule"], one["column"]) for one in stage.kept.letters}


def test_what_derived_tables_drop_and_reject_is_counted_and_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "snapshot")
    counts = stage.epoch(ROWS, end=FINAL)
    assert counts["line"] == {"read": 5, "prepared": 2, "merged": 0, "rejected": 1, "dropped": {"transform.filter": 2}}
    assert counts["total"]["rejected"] == 2
    assert balanced(counts["line"])
    assert balanced(counts["total"])
    assert counts["sale"]["prepared"] == 5
    assert told(stage) == {
        ("line", "transform", "transform.derive", "paid_as"),
        ("total", "transform", "transform.aggregate", "sum"),
    }
    assert len(stage.kept.letters) == 3
    assert len({letter["id"] for letter in stage.kept.letters}) == 3


def test_a_letter_holds_the_row_sealed_and_no_value_in_the_open(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "snapshot")
    stage.epoch([(2, 1, "planted-value")], end=FINAL)
    for letter in stage.kept.letters:
        record = orjson.loads(sealing.unseal(KEY, letter["sealed"], letter["id"]))
        assert record["sale.paid"] == "planted-value"
        assert all(not name.startswith("_") for name in record)
        assert orjson.loads(letter["position"]) == {"source": None, "split": "", "line": None}
        assert letter["reason"]
        assert b"planted" not in b"".join([repr(letter | {"sealed": b""}).encode(), letter["sealed"]])


@pytest.mark.parametrize("restarts", [False, True])
def test_a_row_is_told_once_however_many_epochs_follow(tmp_path: Path, restarts: bool) -> None:
    stage = Stage(tmp_path, "continuous")
    stage.epoch(ROWS)
    first = [letter["id"] for letter in stage.kept.letters]
    if restarts:
        stage.restart()
    counts = stage.epoch([(6, 1, "9")])
    assert [letter["id"] for letter in stage.kept.letters] == first
    assert counts["line"]["rejected"] == 1  # what stands, not what came
    counts = stage.epoch([(7, 3, "y"), (2, 1, "6")], gone=[5])
    new = stage.kept.letters[len(first) :]
    assert {letter["table"] for letter in new} == {"line", "total"}
    assert {letter["id"].rsplit("/", 2)[1] for letter in new} == {"2"}
    assert counts["line"] == {"read": 6, "prepared": 3, "merged": 0, "rejected": 1, "dropped": {"transform.filter": 2}}
    assert balanced(counts["total"])


def test_the_same_epoch_again_gives_the_same_letters(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stage = Stage(tmp_path / name, "snapshot")
        stage.epoch(ROWS, end=FINAL)
        found.append([{k: v for k, v in letter.items() if k != "sealed"} for letter in stage.kept.letters])
    assert found[0] == found[1]


def test_what_a_derived_table_gives_is_sent_and_withdrawn(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "continuous")
    stage.epoch([(1, 1, "5"), (2, 1, "6")])
    stage.epoch([(1, 1, "x")])
    lines = [batch.decode(payload) for header, payload in stage.kept.batches if header.table == "line"]
    assert lines[0].select(OP, "paid_as").sort("paid_as").get_column(OP).to_list() == [0, 0]
    (gone,) = lines[1].to_dicts()
    assert gone[OP] == 1
    assert gone[IDENTITY] in lines[0].get_column(IDENTITY).to_list()
