from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from control_api.actions import runs, tasks
from control_api.actions.context import Context
from control_api.store import audit, keys, outbox
from control_api.store.db import Connection
from control_api.store.runs import Run
from schemas.errors import Conflict, InvalidInput, NotFound

Text = Callable[..., str]


def released(ctx: Context, text: str, base: str) -> str:
    name, version = tasks.create_task(ctx, "me", text, base)
    tasks.release_task(ctx, "me", name, version)
    return name


def test_a_new_text_is_a_new_version_and_the_same_text_the_same(ctx: Context, task_text: Text, base: str) -> None:
    assert tasks.create_task(ctx, "me", task_text(), base) == ("small", 1)
    assert tasks.create_task(ctx, "me", task_text(), base) == ("small", 1)
    assert tasks.create_task(ctx, "me", task_text("Others."), base) == ("small", 2)
    assert tasks.create_task(ctx, "me", task_text(), base) == ("small", 1)
    assert tasks.create_task(ctx, "me", task_text(), "/elsewhere")[1] == 3
    assert tasks.get_task(ctx, "small", 1).text == task_text()
    assert [one.version for one in tasks.list_versions(ctx, "small")] == [3, 2, 1]
    assert list(tasks.get_task(ctx, "small").spec.tables["thing"].columns) == ["id", "name"]


def test_authors_at_once_make_one_version_each(ctx: Context, task_text: Text, base: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: tasks.create_task(ctx, "me", task_text(f"No. {n % 2}"), base), range(8)))
    assert {version for _, version in made} == {1, 2}


def test_every_mistake_is_told_at_the_name_that_the_author_knows(ctx: Context, base: str) -> None:
    tables = "  a:\n    columns: {id: {type: whole}}\n  b:\n    columns: {id: {type: int64, rnge: 1}}\n"
    text = f"task: small\ntables:\n{tables}"
    with pytest.raises(InvalidInput) as caught:
        tasks.create_task(ctx, "me", text, base, "mine.yaml")
    assert len(caught.value.mistakes) >= 2
    assert {mistake.file for mistake in caught.value.mistakes} == {"mine.yaml"}
    assert tasks.lint_task(ctx, text, base, "mine.yaml")[0].file == "mine.yaml"
    with pytest.raises(InvalidInput, match="absolute"):
        tasks.create_task(ctx, "me", text, "relative")
    with pytest.raises(NotFound):
        tasks.get_task(ctx, "small")


def test_whoever_began_with_an_old_version_is_told(ctx: Context, task_text: Text, base: str) -> None:
    tasks.create_task(ctx, "me", task_text(), base, expect=0)
    with pytest.raises(Conflict, match="at version 1, not 0"):
        tasks.create_task(ctx, "me", task_text("Others."), base, expect=0)
    assert tasks.create_task(ctx, "me", task_text("Others."), base, expect=1) == ("small", 2)


def test_only_what_is_released_starts(ctx: Context, task_text: Text, base: str, conn: Connection) -> None:
    with pytest.raises(NotFound):
        runs.start_run(ctx, "me", "small")
    tasks.create_task(ctx, "me", task_text(), base)
    with pytest.raises(Conflict, match="release version 1 first"):
        runs.start_run(ctx, "me", "small")
    tasks.release_task(ctx, "me", "small")
    tasks.create_task(ctx, "me", task_text("Others."), base)
    with pytest.raises(Conflict, match="version 2"):
        runs.start_run(ctx, "me", "small", 2)
    run = runs.start_run(ctx, "me", "small")
    assert run.version == 1
    assert run.state == "running"
    assert len(keys.get_key(conn, ctx.master, run.run)) == 32
    plans = outbox.plans_of(conn, run.run)
    assert plans["thing"].columns == {"id": "int64", "name": "string"}
    said = [entry.action for entry in audit.search(conn, after=0)]
    assert said == ["task.created", "task.released", "task.created", "run.started"]
    assert audit.verify(conn) is None


def test_a_start_that_fails_leaves_nothing(ctx: Context, task_text: Text, base: str, conn: Connection) -> None:
    released(ctx, task_text(), base)

    def refuse(*_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        runs.start_run(replace(ctx, create_tables=refuse), "me", "small")
    assert runs.list_runs(ctx) == []
    for table in ("run_keys", "control"):
        assert conn.execute(f"SELECT count(*) FROM metal.{table}".encode()).fetchone() == (0,)


def test_runs_of_a_snapshot_task_go_side_by_side_but_a_continuous_one_goes_once(
    ctx: Context, task_text: Text, base: str
) -> None:
    released(ctx, task_text(), base)
    assert runs.start_run(ctx, "me", "small").run != runs.start_run(ctx, "me", "small").run
    name = released(ctx, task_text().replace("task: small", "task: stream\nmode: continuous"), base)

    def start(_: int) -> Run | None:
        try:
            return runs.start_run(ctx, "me", name)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [run for run in pool.map(start, range(4)) if run is not None]
    assert len(made) == 1
    runs.stop_run(ctx, "me", made[0].run)
    assert runs.start_run(ctx, "me", name).run != made[0].run


def test_an_idempotency_key_makes_two_starts_one(ctx: Context, task_text: Text, base: str) -> None:
    released(ctx, task_text(), base)
    with ThreadPoolExecutor(4) as pool:
        made = {run.run for run in pool.map(lambda _: runs.start_run(ctx, "me", "small", key="k"), range(4))}
    assert len(made) == 1
    assert len(runs.list_runs(ctx)) == 1
    with pytest.raises(Conflict, match="another request"):
        runs.start_run(ctx, "me", "small", 1, key="k")
    assert runs.start_run(ctx, "other", "small", key="k").run not in made


def test_secrets_are_kept_sealed_and_only_those_the_task_names(
    ctx: Context, task_text: Text, base: str, conn: Connection
) -> None:
    class Address(BaseModel):
        url: dict[str, str]

    ctx = replace(ctx, components=replace(ctx.components, connections={"database": Address}))
    connection = "connections:\n  db: {type: database, url: {env: DB_URL}}\n"
    name = released(ctx, task_text().replace("tables:", f"{connection}tables:"), base)
    with pytest.raises(InvalidInput, match="does not use OTHER"):
        runs.start_run(ctx, "me", name, secrets={"OTHER": "x"})
    run = runs.start_run(ctx, "me", name, secrets={"DB_URL": "planted-secret"}).run
    assert keys.get_secrets(conn, ctx.master, run) == {"DB_URL": "planted-secret"}
    (entry,) = audit.search(conn, action="run.started")
    assert entry.detail["secrets"] == ["DB_URL"]
    assert "planted" not in str(entry)


def test_a_run_that_got_its_last_batch_while_paused_is_settled_on_resuming(
    ctx: Context, task_text: Text, base: str, conn: Connection
) -> None:
    run = runs.start_run(ctx, "me", released(ctx, task_text(), base)).run
    runs.pause_run(ctx, "me", run)
    conn.execute(
        "INSERT INTO metal.watermarks (run, producer, sequence, closed, final) VALUES (%s, 'merge/0', 1, 0, true)",
        (run,),
    )
    conn.commit()
    assert runs.resume_run(ctx, "me", run).state == "prepared"


def test_pages_of_runs(ctx: Context, task_text: Text, base: str) -> None:
    released(ctx, task_text(), base)
    made = [runs.start_run(ctx, "me", "small").run for _ in range(5)]
    first = runs.list_runs(ctx, limit=3)
    rest = runs.list_runs(ctx, limit=3, cursor=first[-1].run)
    assert [run.run for run in first + rest] == made[::-1]
    runs.stop_run(ctx, "me", made[2])
    assert [run.run for run in runs.list_runs(ctx, "small", ["stopped"])] == [made[2]]


def test_files_that_a_task_names_are_kept_with_its_version(ctx: Context, task_text: Text, base: str) -> None:
    Path(base, "ages.csv").write_text("young;*\nold;*\n")
    step = "    anonymize:\n      - {method: generalize, columns: {name: {hierarchy: ages.csv, level: 1}}}\n"
    first = tasks.create_task(ctx, "me", task_text() + step, base)
    assert "young" in str(tasks.get_task(ctx, *first).spec)
    Path(base, "ages.csv").write_text("younger;*\nold;*\n")
    assert tasks.create_task(ctx, "me", task_text() + step, base)[1] == 2
    assert "younger" not in str(tasks.get_task(ctx, *first).spec)
