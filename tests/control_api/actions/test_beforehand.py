from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_api.actions import beforehand, runs, tasks
from control_api.actions.beforehand import ASKED, START, Limits, look
from control_api.actions.context import Context
from control_api.actions.embedding import embed
from control_api.composition import components
from schemas.errors import InvalidInput
from schemas.task.load import load
from schemas.task.model import Task

PERSON = """task: people
tables:
  person:
    columns:
      id:   {{type: int64}}
      who:  {{type: string}}
      age:  {{type: int64, range: {{min: 0, max: 99, outside: drop}}}}
      city: {{type: string}}
      ill:  {{type: string}}
{key}
    sources:
      feed: {{connector: jsonl, path: person.jsonl{changes}}}
{transform}
    anonymize:
      - {{method: suppress, columns: [who]}}
      - {method}
"""
KEY = "    primary_key: {column: id, conflicts: %s}"
GROUPS = "{method: generalize, quasi_identifiers: [age, city], %s}"


def written(folder: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    lines = [json.dumps(dict(zip(("id", "who", "age", "city", "ill"), row, strict=True))) for row in rows]
    (folder / "person.jsonl").write_text("".join(f"{line}\n" for line in lines))


def people(count: int) -> list[tuple[Any, ...]]:
    return [(n, f"p{n % 4}", 20 + n, ("Oslo", "Rome")[n % 2], ("flu", "flu", "cold")[n % 3]) for n in range(count)]


def told(folder: Path, method: str, limits: Limits = START, **parts: str) -> tuple[list[str], list[str]]:
    """(mistakes, notes)"""
    path = folder / "people.task.yaml"
    given = {"key": KEY % "drop_all", "transform": "", "changes": ""} | parts
    path.write_text(PERSON.format(method=method, **given))
    loaded = load(path, components())
    found = look(embed(loaded.task, folder, components(), str(path)), folder, {}, components(), limits)
    return [str(one).removeprefix(f"{folder}/") for one in found.told(loaded.text, str(path))], found.notes


AT = "people.task.yaml:16: tables.person.anonymize[1]"


@pytest.mark.parametrize(
    ("method", "lacks"),
    [
        (GROUPS % "k: 7", f"{AT}.k: is 7, more than the 6 records there are; give k of at most 6"),
        (GROUPS % "k: 5, subject: who", f"{AT}.k: is 5, more than the 4 subjects there are; give k of at most 4"),
        (
            GROUPS % "k: 2, l: [{column: ill, l: 3}]",
            f"{AT}.l[0].l: is 3, more than the 2 values of ill; give l of at most 2",
        ),
        (
            GROUPS % "k: 2, l: [{column: ill, l: 1.95, kind: entropy}]",
            f"{AT}.l[0].l: entropy l = 1.95 is above what the frequencies of ill allow; give l of at most 1.889",
        ),
        (
            GROUPS % "k: 2, l: [{column: ill, l: 2, kind: recursive, c: 1.5}]",
            f"{AT}.l[0].l: recursive (c, l) = (1.5, 2) is above what the frequencies of ill allow; "
            "give l of at most 1 or c above 2",
        ),
        (
            "{method: anatomize, sensitive: ill, l: 2}",
            f"{AT}.l: groups of 2 different values can't be formed: 4 of 6 records have the same ill; "
            "no diversity can be met",
        ),
        (
            "{method: anatomize, sensitive: ill, l: 4}",
            f"{AT}.l: is 4, more than the 2 values of ill; give l of at most 2",
        ),
        (
            GROUPS % "k: 2, grain: {city: {rows: [[Oslo, Norway, '*']]}}",
            f"{AT}.grain.city: lacks 1 value of city that 3 records of the data have "
            "(first: feed/person.jsonl:2, feed/person.jsonl:4, feed/person.jsonl:6); "
            "give each of them a row, or leave such records out by a rule",
        ),
        (
            GROUPS % "k: 2, suppression_limit: 0.1, l: [{column: ill, l: 1.95, kind: entropy}]",
            f"{AT}.l[0].l: entropy l = 1.95 is above what the frequencies of ill allow; "
            "give l of at most 1.889, or let 16.67% of the records be suppressed",
        ),
        (
            "{method: suppress, columns: [ill], rarer_than: 3, limit: 0.2}",
            f"{AT}: suppress would take values of 33.3333% of the records, more than its limit of 20.0000%; "
            "raise the limit, or generalize the columns first",
        ),
    ],
)
def test_what_the_data_can_t_keep_is_told_with_place_reason_and_what_it_can(
    tmp_path: Path, method: str, lacks: str
) -> None:
    written(tmp_path, people(6))
    assert told(tmp_path, method) == ([lacks], [])
    assert told(tmp_path, method, ASKED, key="") == ([lacks], [])


def test_rules_filters_and_keys_count_as_in_a_run(tmp_path: Path) -> None:
    rows = [*people(6), (6, "p9", 120, "Oslo", "flu"), (None, "p8", 30, "Oslo", "flu"), (7, "p\x007", 30, "Oslo", "x")]
    written(tmp_path, rows)
    six = f"{AT}.k: is 7, more than the 6 records there are; give k of at most 6"
    assert told(tmp_path, GROUPS % "k: 7")[0] == [six]
    fewer = told(tmp_path, GROUPS % "k: 6", transform="    transform:\n      - {filter: age < 25}")[0]
    assert fewer[0].endswith("more than the 5 records there are; give k of at most 5")
    assert told(tmp_path, GROUPS % "k: 6") == ([], [])


def test_what_may_still_change_is_left_to_the_run(tmp_path: Path) -> None:
    """Two records under one key: which of them stays shows in the merge."""
    twice = [*people(6), (0, "p0", 20, "Oslo", "flu"), (0, "p0", 21, "Bonn", "flu")]
    written(tmp_path, twice)
    entropy = GROUPS % "k: 2, l: [{column: ill, l: 1.95, kind: entropy}]"
    assert told(tmp_path, entropy, key="")[0]
    assert told(tmp_path, entropy) == ([], [])
    assert told(tmp_path, "{method: anatomize, sensitive: ill, l: 2}") == ([], [])
    assert "more than the 2 values" in told(tmp_path, GROUPS % "k: 2, l: [{column: ill, l: 3}]")[0][0]
    assert "more than the 8 records" in told(tmp_path, GROUPS % "k: 9")[0][0]
    assert told(tmp_path, GROUPS % "k: 8") == ([], [])
    mistakes, notes = told(tmp_path, GROUPS % "k: 2, grain: {city: {rows: [[Oslo, '*'], [Rome, '*']]}}")
    assert mistakes == []
    assert "table person: its hierarchy of city lacks 1 value of city that 1 record" in notes[0]
    # records under one key that both stay get keys of their own, so there may be more subjects than were read
    subject = GROUPS % "k: 8, subject: id"
    assert told(tmp_path, subject, key=KEY % "keep_all") == ([], [])
    assert "more than the 6 subjects" in told(tmp_path, subject)[0][0]


def test_what_is_left_out_before_groups_are_formed_counts(tmp_path: Path) -> None:
    """Records with a rare illness go first, then there is but one illness."""
    written(tmp_path, people(6))
    rare = "{method: suppress, columns: [ill], rarer_than: 3, records: true}\n      - "
    at = "people.task.yaml:17: tables.person.anonymize[2]"
    (found,), _ = told(tmp_path, rare + GROUPS % "k: 2, l: [{column: ill, l: 2}]")
    assert found.startswith(f"{at}: no groups keep what is asked for: l = 2 is more than the 1 values of ill")
    assert told(tmp_path, rare + GROUPS % "k: 4") == ([], [])
    assert told(tmp_path, rare + GROUPS % "k: 5")[0][0].startswith(f"{at}: no groups keep")
    assert told(tmp_path, rare + GROUPS % "k: 7")[0][0].startswith(f"{at}.k: is 7, more than the 6 records")


def test_a_source_that_tells_deletions_may_leave_nothing_to_group(tmp_path: Path) -> None:
    written(tmp_path, people(6))
    deletes = ", changes: {delete: {column: city, equals: gone}}"
    assert told(tmp_path, GROUPS % "k: 7", changes=deletes) == ([], [])
    assert "more than the 6 records" in told(tmp_path, GROUPS % "k: 7", changes=", changes: true")[0][0]


def test_a_computed_table_has_no_more_records_than_what_it_comes_from(tmp_path: Path) -> None:
    written(tmp_path, people(6))
    text = (PERSON + "  cities:\n    from: {{person: {{}}}}\n").format(
        key=KEY % "drop_all", transform="", changes="", method="{method: mask, columns: {city: {keep_first: 1}}}"
    )
    text += (
        "    transform:\n      - aggregate: {by: [person.age], columns: {number: 'count(*)'}}\n"
        "    anonymize:\n      - {method: generalize, quasi_identifiers: [age], k: %s, l: [{column: number, l: 1}]}\n"
    )
    path = tmp_path / "derived.task.yaml"
    for k, there in ((7, True), (6, False)):
        path.write_text(text % k)
        loaded = load(path, components())
        found = look(loaded.task, tmp_path, {}, components(), START).told(loaded.text, "derived.task.yaml")
        assert bool(found) == there
    path.write_text(text % 7)
    loaded = load(path, components())
    (mistake,) = look(loaded.task, tmp_path, {}, components(), START).told(loaded.text, "derived.task.yaml")
    assert (mistake.path, mistake.line) == ("tables.cities.anonymize[0].k", 22)
    assert mistake.wrong == "is 7, more than the 6 records there are"


def test_reading_stops_where_no_further_record_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind can't be read, and nobody notices."""
    written(tmp_path, people(40))
    whole = _opened(monkeypatch)
    assert told(tmp_path, GROUPS % "k: 5, l: [{column: ill, l: 2}]") == ([], [])
    assert whole == [10]
    whole.clear()
    assert told(tmp_path, GROUPS % "k: 30")[0] == []
    assert whole == [10, 10, 10]
    whole.clear()
    assert told(tmp_path, GROUPS % "k: 41", replace(START, records=20)) == ([], [])
    assert whole == [10, 10, 10]  # the last of them told that there is more
    whole.clear()
    assert told(tmp_path, GROUPS % "k: 41", replace(START, seconds=-1.0)) == ([], [])
    assert len(whole) == 1


def _opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many records each chunk had that was read."""
    seen: list[int] = []
    plain = beforehand.open_source

    def small(*arguments: Any) -> Any:
        source = plain(*arguments)
        read = source.read

        def counted(*which: Any) -> Any:
            for chunk in read(*which):
                for part in chunk.frame.iter_slices(10):
                    seen.append(part.height)
                    yield replace(chunk, frame=part)

        source.read = counted  # type: ignore[method-assign]
        return source

    monkeypatch.setattr(beforehand, "open_source", small)
    return seen


def test_a_source_that_can_t_be_looked_at_holds_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "person.jsonl").mkdir()
    (tmp_path / "person.jsonl" / "a.jsonl").symlink_to("nowhere")
    mistakes, notes = told(tmp_path, GROUPS % "k: 7")
    assert mistakes == []
    assert notes[0].startswith("table person: its data was not looked at before the run: ")
    task = Task.model_validate(
        {
            "task": "t",
            "tables": {
                "person": {
                    "columns": {"age": {"type": "int64"}},
                    "sources": {"feed": {"connector": "kafka", "topic": "t"}},
                    "anonymize": [{"method": "generalize", "quasi_identifiers": ["age"], "k": 7}],
                }
            },
        }
    )
    for limits in (START, ASKED):
        found = look(task, tmp_path, {}, components(), limits)
        assert found.mistakes == []
        assert "a start looks at files alone, and the source feed is a kafka" in found.notes[0]
    assert look(task.model_copy(update={"mode": "continuous"}), tmp_path, {}, components(), START).notes == []


def test_nothing_starts_that_can_t_be_met_and_a_note_says_what_was_not_looked_at(ctx: Context, tmp_path: Path) -> None:
    def start(method: str) -> Any:
        text = PERSON.format(method=method, key="", transform="", changes="")
        name, version = tasks.create_task(ctx, "me", text, tmp_path)
        tasks.release_task(ctx, "me", name, version)
        return runs.start_run(ctx, "me", name, file="mine.yaml")

    written(tmp_path, people(6))
    with pytest.raises(InvalidInput) as caught:
        start(GROUPS % "k: 7")
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.path) == ("mine.yaml", 16, "tables.person.anonymize[1].k")
    assert runs.list_runs(ctx) == []
    assert start(GROUPS % "k: 6").notes == []
    (tmp_path / "person.jsonl").unlink()
    assert "its data was not looked at before the run" in start(GROUPS % "k: 7").notes[0]
