from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import orjson
import pytest

from control_api.actions import runs, tasks
from control_api.actions.context import Context
from control_api.store.db import Connection

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def run(ctx: Context, task_text: Callable[..., str], base: str) -> str:
    tasks.create_task(ctx, "me", task_text(), base)
    tasks.release_task(ctx, "me", "small")
    return runs.start_run(ctx, "me", "small").run


@contextmanager
def listen(served: str, run: str, known: str | None = None) -> Iterator[Iterator[tuple[str, dict[str, object]]]]:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Last-Event-ID": known} if known else {})
    with httpx.stream("GET", f"{served}/api/v1/runs/{run}/events", headers=headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response.iter_lines())


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, object]]]:
    name = ""
    for line in lines:
        if line.startswith("id: "):
            name = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield name, orjson.loads(line.removeprefix("data: "))


def test_every_change_is_told_once_until_the_end(served: str, ctx: Context, run: str, conn: Connection) -> None:
    states = []
    with listen(served, run) as told:
        for name, event in told:
            last = name
            states.append((event["state"], event["progress"], event["tables"]["thing"]["read"]))  # type: ignore[index]
            if len(states) == 1:
                conn.execute(
                    'INSERT INTO metal.lanes (run, lane, read) VALUES (%s, 0, \'{"thing": {"read": 7}}\')', (run,)
                )
                conn.commit()
            elif len(states) == 2:
                conn.execute("INSERT INTO metal.counts VALUES (%s, 'merge/0', 'thing', '{\"read\": 7}')", (run,))
                conn.commit()
            elif len(states) == 3:
                runs.pause_run(ctx, "me", run)
            elif len(states) == 4:
                runs.stop_run(ctx, "me", run)
    assert states == [
        ("running", {}, 0),
        ("running", {"thing": 7}, 0),
        ("running", {"thing": 7}, 7),
        ("paused", {"thing": 7}, 7),
        ("stopped", {"thing": 7}, 7),
    ]
    again = httpx.get(
        f"{served}/api/v1/runs/{run}/events",
        headers={"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": last},
    )
    assert again.status_code == 204


def test_who_comes_back_hears_only_what_is_new(served: str, ctx: Context, run: str) -> None:
    with listen(served, run) as told:
        name, event = next(told)
    assert event["state"] == "running"
    threading.Timer(0.5, runs.pause_run, (ctx, "me", run)).start()
    with listen(served, run, known=name) as told:
        assert next(told)[1]["state"] == "paused"
    with listen(served, run, known=name) as told:
        assert next(told)[1]["state"] == "paused"
