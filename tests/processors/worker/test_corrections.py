"""A record that fell behind the merge, corrected: from its letter by way of the replay lane back into the merge."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import orjson
import polars as pl
import pytest

import processors.anonymize
import processors.rules
from connectors.connect.lane import LaneReader
from connectors.connect.replay import _memo, _send
from connectors.sources.contract import REJECTS
from processors.anonymize.protocol import Anonymization
from processors.merge.close import close
from processors.merge.resolve import IDENT
from processors.plan import compile_task
from processors.rules.protocol import Rule
from processors.segments.format import Segment, from_bytes
from processors.worker.cleanse import cleanse
from processors.worker.corrections import generate
from processors.worker.directory import RunInfo
from processors.worker.intake import REPLAY, add_counts
from processors.worker.letters import merged_letters
from schemas import extracted, sealing
from schemas.columns import CHANGED, LINE, OP, POSITION
from schemas.discovery import discover
from schemas.headers import Header
from schemas.memo import MEMO
from schemas.placement import seed
from schemas.task.model import Task

KEY = bytes(range(32))
SCHEMA = {"id": pl.String, "code": pl.String, "share": pl.Float64}
STRATEGIES: dict[str, Any] = {
    "drop_all": "drop_all",
    "keep_all": "keep_all",
    "prefer": {"prefer": ["crm", "erp"]},
    "changes": {"prefer": ["crm", "erp"]},
}
TOLD = ("a", "no number", 0.1)


@cache
def spec_of(strategy: str) -> Task:
    """`replace` writes a mark before what it finds, so a second time would show."""
    mark = {"type": "string", "replace": {"matches": "^", "with": "~"}}
    source = {"connector": "csv", "path": "x.csv", "options": {"allow_nan": True}}
    table = {
        "columns": {"id": mark, "code": mark, "share": {"type": "float64"}},
        "sources": {"crm": {**source, "changes": strategy == "changes"}, "erp": source},
        **({"primary_key": {"column": "id", "conflicts": STRATEGIES[strategy]}} if strategy in STRATEGIES else {}),
        "transform": [{"derive": {"number": "cast(substr(code, 2, 9) as int64)"}}],
    }
    return Task.model_validate({"task": "t", "tables": {"t": table}})


@dataclass
class Run:
    """The stages up to the merge, without their topics."""

    strategy: str
    partitions: int = 2
    parts: dict[int, list[Segment]] = field(default_factory=dict)
    standing: dict[int, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    letters: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    sequence: int = 0
    waiting: list[tuple[Header, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        spec = spec_of(self.strategy)
        plan = compile_task(spec, discover(processors.rules, Rule), discover(processors.anonymize, Anonymization))
        self.info = RunInfo("run", "t", "snapshot", self.partitions, 1, plan, KEY)
        self.table = plan.tables["t"]

    def read(self, rows: list[tuple[Any, ...]], source: int = 0) -> None:
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(pl.int_range(pl.len()).alias(LINE))
        if source in self.table.merge.changes:
            place = pl.int_range(pl.len(), dtype=pl.Int64) + 10 * self.sequence
            frame = frame.with_columns(place.alias(POSITION), pl.lit(0, dtype=pl.Int8).alias(OP))
        extra = {"source": source, "name": ["crm", "erp"][source], "split": "x", "position": None, "skip": 0}
        header = Header("data", "t", "run", "t", "lane/0", 1, self._next(), 0, frame.height, extra)
        self.waiting.append((header, extracted.seal(frame, pl.DataFrame(schema=REJECTS), KEY)))

    def replay(self, **changes: Any) -> None:
        """As the API and the replay lane do it, with the one letter that is open."""
        (name,) = self.open
        self.open.remove(name)
        letter = self.letters[name]
        first = orjson.loads(sealing.unseal(KEY, letter["sealed"], name))
        record = {key: value for key, value in first.items() if key != MEMO} | changes
        where = orjson.loads(letter["position"])
        reader = SimpleNamespace(
            run=SimpleNamespace(spec=spec_of(self.strategy)),
            around=SimpleNamespace(key=KEY),
            header=lambda kind, table, rows, epoch, extra: Header(
                kind, "t", "run", table, REPLAY, 1, self._next(), epoch, rows, extra
            ),
            send=lambda header, payload: self.waiting.append((header, payload)),
        )
        number, change = len(self.letters), where.get("change") or 0
        _send(cast(LaneReader, reader), number, "t", where["source"], record, change, _memo(first, record))

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def close(self) -> None:
        """Ends the epoch on every partition, and checks that nothing is lost."""
        new: dict[int, list[Segment]] = {}
        for header, payload in self.waiting:
            cleansed = cleanse(payload, header, self.info)
            add_counts(self.counts, cleansed.counts)
            self._arrive(cleansed.letters)
            for q, (part, _) in cleansed.parts.items():
                new.setdefault(q, []).append(from_bytes(part, KEY))
        self.waiting.clear()
        for q, segments in new.items():
            old = self.parts.setdefault(q, [])
            told = close(segments, old, self.table, seed(KEY, "content"), generate(self.info, "t"), self.partitions)
            for change in told:
                for ident in change.gone.get_column(IDENT):
                    del self.standing[ident]
                self.standing |= {row[IDENT]: row for row in change.upserts.to_dicts()}
                add_counts(self.counts, change.counts)
                self._arrive(merged_letters(change.rejected, self.table, self.info))
            old += segments
        counts = self.counts
        assert counts["prepared"] == len(self.standing)
        assert counts["read"] == counts["prepared"] + counts["merged"] + counts["rejected"] + sum(
            counts["dropped"].values()
        )

    def _arrive(self, letters: list[dict[str, Any]]) -> None:
        for letter in letters:
            if letter["id"] not in self.letters:
                self.letters[letter["id"]] = letter
                self.open.append(letter["id"])

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(tuple(row[name] for name in SCHEMA) for row in self.standing.values())

    def fell(self) -> dict[str, Any]:
        (name,) = self.open
        letter = self.letters[name]
        record = orjson.loads(sealing.unseal(KEY, letter["sealed"], name))
        return {key: value for key, value in record.items() if key != MEMO} | {"rule": letter["rule"]}


def begun(strategy: str, *rows: tuple[Any, ...], partitions: int = 2) -> Run:
    run = Run(strategy, partitions)
    run.read([TOLD, *rows])
    run.close()
    assert run.rows() == []
    return run


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("code", ["1", "zzz"])
def test_a_correction_replaces_what_it_corrects(strategy: str, code: str) -> None:
    run = begun(strategy)
    assert run.fell() == {"id": "~a", "code": "~no number", "share": 0.1, "rule": "transform.derive"}
    run.replay(code=code)
    run.close()
    if code == "1":
        assert (run.rows(), run.open) == ([("~a", "~1", 0.1)], [])
    else:
        assert (run.rows(), run.fell()["code"]) == ([], "~zzz")
        run.replay(code="1")
        run.close()
        assert (run.rows(), run.open) == ([("~a", "~1", 0.1)], [])
    assert run.counts["rejected"] == len(run.letters)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_equal_records_are_replaced_together(strategy: str) -> None:
    run = begun(strategy, TOLD, TOLD)
    run.read([TOLD], source=1)
    run.close()
    run.replay(code="1")
    run.close()
    assert (run.rows(), run.open) == ([("~a", "~1", 0.1)], [])
    assert {name: run.counts[name] for name in ("read", "merged", "rejected")} == {
        "read": 5,
        "merged": 3,
        "rejected": 1,
    }


@pytest.mark.parametrize("partitions", [1, 16])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_correction_of_the_key_leaves_nothing_behind(strategy: str, partitions: int) -> None:
    run = begun(strategy, partitions=partitions)
    for key in "bcd":
        run.read([(key, "7", 2.5)], source=1)
    run.close()
    run.replay(id="e", code="1")
    run.close()
    others = [(f"~{key}", "~7", 2.5) for key in "bcd"]
    assert (run.rows(), run.open) == ([*others, ("~e", "~1", 0.1)], [])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_replay_without_a_correction_is_told_again(strategy: str) -> None:
    run = begun(strategy)
    for rounds in (2, 3):
        run.replay()
        run.close()
        assert (run.rows(), len(run.letters)) == ([], rounds)
        assert run.fell()["code"] == "~no number"
    run.replay(code="1")
    run.close()
    assert (run.rows(), run.open) == ([("~a", "~1", 0.1)], [])
    assert run.counts["rejected"] == len(run.letters) == 3


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_correction_that_cannot_be_read_falls_and_can_be_corrected(strategy: str) -> None:
    """What no one touched passes the rules once, however long the way."""
    run = begun(strategy)
    run.replay(share="much")
    run.close()
    assert run.rows() == []
    assert run.fell() == {"id": "~a", "code": "~no number", "share": "much", "rule": "type"}
    run.replay(share="0.5", code="1")
    run.close()
    assert (run.rows(), run.open) == ([("~a", "~1", 0.5)], [])
    assert run.counts["rejected"] == len(run.letters)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_what_a_letter_keeps_is_what_was_there(strategy: str) -> None:
    """A number that is none has no form in JSON; which rules changed a record is told of the corrected one too."""
    run = Run(strategy)
    run.read([("a", "x", float("nan"))])
    run.read([("a", "x", float("nan"))])
    run.close()
    run.replay(code="1")
    run.close()
    ((key, code, share),) = run.rows()
    assert (key, code, str(share)) == ("~a", "~1", "nan")
    (row,) = run.standing.values()
    assert row[CHANGED] == 0b11


def test_under_keep_all_the_letter_holds_the_key_that_was_read() -> None:
    run = Run("keep_all")
    run.read([TOLD, ("a", "2", 1.0)])
    run.close()
    ((key, *_),) = run.rows()
    assert key.startswith("~a~")
    assert run.fell()["id"] == "~a"
    run.replay(code="2", share=1.0)
    run.close()
    assert (run.rows(), run.counts["merged"]) == ([("~a", "~2", 1.0)], 1)


def test_without_a_key_a_record_has_nothing_to_replace() -> None:
    run = begun("no key")
    for share, code in (("much", "1"), ("0.5", "2")):
        run.replay(share=share, code=code)
        run.close()
    assert (run.rows(), run.open) == ([("~a", "~2", 0.5)], [])
    assert run.counts["rejected"] == len(run.letters) == 2


def test_a_later_change_wins_over_a_correction() -> None:
    run = begun("changes")
    run.read([("a", "8", 0.2)])
    run.close()
    run.replay(code="1")
    run.close()
    assert (run.rows(), run.open) == ([("~a", "~8", 0.2)], [])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_record_that_was_withdrawn_can_come_back(strategy: str) -> None:
    """By the letter of a correction that could not be read."""
    run = begun(strategy)
    for share, rule in (("much", "type"), ("0.1", "transform.derive")):
        run.replay(share=share)
        run.close()
        assert (run.rows(), run.fell()["rule"]) == ([], rule)
    run.replay(code="1")
    run.close()
    assert (run.rows(), run.open) == ([("~a", "~1", 0.1)], [])
    assert run.counts["rejected"] == len(run.letters) == 3
