"""Windows in the relate stage: epochs that are closed again give the same, and no two states single anyone out."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import processors.anonymize
import processors.rules
from processors.anonymize.protocol import Anonymization
from processors.merge.resolve import IDENT
from processors.plan import compile_task
from processors.privacy.releases.differencing import compare
from processors.rules.protocol import Rule
from processors.worker.directory import RunInfo
from processors.worker.ledger import OWN, Name
from processors.worker.relate_stage import RelateStage
from processors.worker.run_part import RunPart
from processors.worker.shape import related
from schemas import batch
from schemas.columns import CHANGED, IDENTITY, OP, SOURCE
from schemas.discovery import discover
from schemas.errors import Fatal
from schemas.headers import FINAL, Header
from schemas.task.model import Task
from tests.processors.worker.folder import Done, Folder

K, RECORDS, DELAY = 2, 6, 2  # epochs
KEY = bytes(range(32))
METHODS = discover(processors.anonymize, Anonymization)
QUASI = ["age", "city"]
Row = tuple[int, str, int, str, str]  # id, who, age, city, ill


def plan_of(**options: Any) -> Any:
    method = {
        "method": "generalize",
        "quasi_identifiers": QUASI,
        "k": K,
        "subject": "who",
        "grain": {"age": {"step": 10}},
        "suppression_limit": 1.0,
        "window": {"records": RECORDS, "delay": 2.0 * (DELAY + 1)},
    }
    columns = {"id": "int64", "who": "string", "age": "int64", "city": "string", "ill": "string"}
    task = {
        "task": "t",
        "mode": "continuous",
        "tables": {
            "person": {
                "columns": {name: {"type": kind} for name, kind in columns.items()},
                "primary_key": {"column": "id", "conflicts": "drop_all"},
                "sources": {"s": {"connector": "csv", "path": "x.csv"}},
                "anonymize": [method | options],
            }
        },
    }
    return compile_task(Task.model_validate(task), discover(processors.rules, Rule), METHODS)


class DiedError(Exception):
    """The process ends here."""


class Disk(Folder):
    """The outbox, too; dies at the n-th thing it is asked to make durable."""

    partitions = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sent: dict[int, tuple[Header, bytes]] = {}
        self.left = -1

    def _lives(self) -> None:
        if self.left == 0:
            raise DiedError
        self.left -= 1

    def put(self, partition: int, key: bytes, value: bytes) -> Awaitable[None]:
        self._lives()
        return super().put(partition, key, value)

    async def remove(self, partition: int, keys: list[bytes]) -> None:
        self._lives()
        await super().remove(partition, keys)

    async def send(self, topic: str, partition: int, header: Header, payload: bytes) -> Any:
        self._lives()
        again = self.sent.setdefault(header.sequence, (header, payload))
        assert told(again) == told((header, payload))  # under a number that was used there is the same again
        return Done()


def told(sent: tuple[Header, bytes]) -> Any:
    header, payload = sent
    return header, batch.decode(payload).rows() if payload else None


class Stage:
    """A relate stage that is told what the merge stage would tell it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.info = RunInfo("run", "t", "continuous", 1, 1, plan_of(**options), KEY)
        self.disk = Disk(folder)
        self.restart()
        self._offset = self._closes = self.epochs = 0
        self._sent = 0
        self.shown: dict[int, dict[str, Any]] = {}
        self.ever: dict[int, dict[str, Any]] = {}
        self.counts: dict[str, Any] = {}

    def restart(self) -> None:
        """Another worker takes over: only what is durable is known."""
        disk: Any = self.disk
        self.part = RunPart(0, self.info, disk)
        parts: Any = type("Parts", (), {"get": lambda _, partition, info: self.part})()
        directory: Any = self
        self._stage = RelateStage(directory, disk, parts)

    async def get(self, run: str) -> RunInfo:
        return self.info

    def epoch(self, rows: Sequence[Row], gone: Sequence[int] = (), *, end: int = 0, dies: int = -1) -> list[Any]:
        """The states of the review store while the epoch's batches come in; `dies`: how much is durable before."""
        schema = {"id": pl.Int64, "who": pl.String, "age": pl.Int64, "city": pl.String, "ill": pl.String}
        frame = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
            pl.col("id").cast(pl.UInt64).alias(IDENT),
            pl.lit(0, dtype=pl.UInt16).alias(SOURCE),
            pl.lit(0, dtype=pl.UInt64).alias(CHANGED),
        )
        left = pl.DataFrame({IDENT: gone}, schema={IDENT: pl.UInt64})
        ((_, payload),) = related(frame, left, self.info.plan.tables["person"], self.info, self._closes)
        self._closes += 1
        self.epochs += 1
        self._tell("data", "person", len(rows) + len(gone), {}, payload, 0)
        counts = {"person": {"read": 0, "merged": 0, "rejected": 0, "dropped": {}}}
        for left_ in (dies, -1) if dies >= 0 else (-1,):
            self.disk.left = left_
            try:
                self._tell("end", "", 0, {"counts": counts}, b"", end or self.epochs)
                break
            except DiedError:
                self.restart()
        self.disk.left = -1
        self._offset += 1
        return [dict(state) for state in self._applied()]

    def _tell(self, kind: Any, table: str, rows: int, extra: dict[str, Any], payload: bytes, epoch: int) -> None:
        header = Header(kind, "t", "run", table, "merge/0", 0, self._offset, epoch, rows, extra)

        async def tell() -> None:
            for done in await self._stage.handle(0, self._offset, header, payload):
                await done

        asyncio.run(tell())
        if kind == "data":
            self._offset += 1

    def _applied(self) -> Any:
        while self._sent in self.disk.sent:
            header, payload = self.disk.sent[self._sent]
            self._sent += 1
            if header.kind == "end":
                self.counts = header.extra["counts"]["person"]
                continue
            for row in batch.decode(payload).to_dicts():
                if row.pop(OP):
                    del self.shown[row[IDENTITY]]
                else:
                    assert row[IDENTITY] not in self.ever  # no record twice
                    self.ever[row[IDENTITY]] = self.shown[row[IDENTITY]] = row
            yield self.shown


def frame_of(state: dict[int, dict[str, Any]]) -> pl.DataFrame:
    schema = {IDENTITY: pl.Int64, "who": pl.String, "age": pl.String, "city": pl.String, "ill": pl.String}
    return pl.DataFrame([{name: row[name] for name in schema} for row in state.values()], schema=schema)


def keeps(state: dict[int, dict[str, Any]], k: int = K, l: int = 1) -> bool:  # noqa: E741
    people: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    ills: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in state.values():
        people[row["age"], row["city"]].add(row["who"])
        ills[row["age"], row["city"]].add(row["ill"])
    return all(len(who) >= k for who in people.values()) and all(len(each) >= l for each in ills.values())


ROW = st.tuples(
    st.integers(0, 40),
    st.sampled_from("abcdefghij"),
    st.integers(0, 60),
    st.sampled_from(["Oslo", "Rome"]),
    st.sampled_from(["flu", "cold", "none"]),
)
EPOCHS = st.lists(
    st.tuples(
        st.lists(ROW, max_size=12, unique_by=lambda row: row[0]),
        st.sets(st.integers(0, 40), max_size=4),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, deadline=None)
@given(EPOCHS, st.sampled_from([1, 2]))
def test_epochs_closed_again_give_the_same_and_no_two_states_single_anyone_out(stream: list[Any], l: int) -> None:  # noqa: E741
    asked = {"l": [{"column": "ill", "l": l}]} if l > 1 else {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        calm, dying = Stage(Path(one), **asked), Stage(Path(other), **asked)
        here: set[int] = set()
        states: list[dict[int, dict[str, Any]]] = []
        for number, (rows, gone, dies) in enumerate(stream):
            last = FINAL if number == len(stream) - 1 else 0
            gone = sorted((gone & here) - {row[0] for row in rows})
            here = (here | {row[0] for row in rows}) - set(gone)
            states += calm.epoch(rows, gone, end=last)
            dying.epoch(rows, gone, end=last, dies=dies)
            assert calm.shown == dying.shown
            assert calm.counts == dying.counts
            left_out = calm.counts["dropped"]
            assert calm.counts.get("prepared", 0) == len(calm.shown)
            assert len(calm.shown) + sum(left_out.values()) == len(here)
        assert "generalize.waiting" not in left_out
        assert all(keeps(state, l=l) for state in states)
        frames = [frame_of(state) for state in states]
        for n, before in enumerate(frames):
            for after in frames[n + 1 :]:
                found = compare(
                    before, after, QUASI, ["ill"] if l > 1 else [], K, distinct=l, identity=IDENTITY, subject="who"
                )
                assert found.safe, found.found


def test_the_state_is_merged_in_tiers_and_recalled_from_what_is_durable(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    calm, moved = Stage(tmp_path / "one"), Stage(tmp_path / "other")
    for number in range(30):
        first = 5 * number
        rows = [(n, f"p{n}", 7 * n % 60, "Oslo", "flu") for n in range(first, first + 5)]
        rows += [(first - 20, "again", 5, "Rome", "cold")] if number > 5 and number % 3 == 0 else []
        gone = [first - 11] if number > 5 and number % 4 == 0 else []
        calm.epoch(rows, gone)
        moved.restart()
        moved.epoch(rows, gone)
        assert calm.shown == moved.shown
        assert calm.counts == moved.counts
    own = [name for name in map(Name.parse, moved.disk.entries(0)) if OWN in name.table]
    assert any(name.first < name.last for name in own)
    assert len(own) < 16
    assert len(calm.shown) > 60
    assert calm.counts["dropped"]["generalize.suppressed"] > 5


def test_more_left_out_than_the_limit_halts_the_run_and_names_the_table(tmp_path: Path) -> None:
    stage = Stage(tmp_path, suppression_limit=0.1)
    stage.epoch([(n, f"p{n}", 30, "Oslo", "flu") for n in range(RECORDS)])
    assert len(stage.shown) == RECORDS
    with pytest.raises(Fatal, match=r"table person: 6 of 6 records .* suppression_limit is 0\.1: allow 1,"):
        stage.epoch([(0, "p0", 31, "Oslo", "flu")])
    assert len(stage.shown) == RECORDS  # and nothing of that epoch was sent


def test_what_a_run_keeps_for_itself_is_sealed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.epoch([(n, "planted-value", 30, "planted-value", "planted-value") for n in range(RECORDS + 2)])
    own = [key for key in stage.disk.entries(0) if OWN in Name.parse(key).table]
    assert own
    for key in own:
        held = stage.disk.path(0, key).read_bytes()
        assert b"planted" not in held
        assert b"_cohort" not in held
