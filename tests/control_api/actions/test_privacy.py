"""Budgets and answers in the control store: over the API and the command line, and as runs take from them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from control_api.actions import privacy
from control_api.actions.context import Context
from control_api.actions.transitions import fail_run
from control_api.api.relay import Relay
from control_api.cli.main import run as metal
from control_api.store import audit
from control_api.store import privacy as store
from control_api.store.db import Connection, migrate
from processors.privacy.differential.noise import Answer, Cost, Question
from schemas.errors import Conflict

pytestmark = pytest.mark.stack
RUN, OTHER = "small-aaaaaaaa", "small-bbbbbbbb"
NewRun = Callable[..., str]


def questions(epsilon: str = "0.5", columns: int = 2) -> dict[str, Question]:
    return {f"c{n}": Question("count", Cost.of(epsilon)) for n in range(columns)}


class Drawn:
    """Each draw is another number."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, column: str) -> Answer:
        self.times += 1
        return {"count": str(self.times)}


def tell(
    url: str, run: str, asked: Mapping[str, Question], draw: Callable[[str], Answer], table: str = "told"
) -> dict[str, Answer]:
    return privacy.tell(lambda: psycopg.connect(url), run, table, "people", asked, draw)


def spent(url: str) -> Cost:
    with psycopg.connect(url) as conn:
        return store.accounts(conn)[0].ledger.spent


@pytest.fixture
def run(ctx: Context, new_run: NewRun) -> str:
    new_run(OTHER)
    privacy.set_budget(ctx, "officer", "people", "1")
    return new_run(RUN)


def test_an_answer_is_told_again_in_the_same_words_and_charged_once(url: str, run: str) -> None:
    draw = Drawn()
    first = tell(url, run, questions(), draw)
    assert first == {"c0": {"count": "1"}, "c1": {"count": "2"}}
    assert tell(url, run, questions(), draw) == first
    assert (draw.times, spent(url)) == (2, Cost.of(1))
    with psycopg.connect(url) as conn:
        told = audit.search(conn, action="privacy.told")
        assert [(one.subject, one.detail["cost"], one.detail["left"]["epsilon"]) for one in told] == [
            (run, {"epsilon": 1.0, "delta": 0.0}, 0.0)
        ]
        assert audit.verify(conn) is None


def test_what_was_not_committed_was_never_told(url: str, run: str) -> None:
    """The audit entry is the last of the transaction."""
    with patch.object(audit, "record", side_effect=psycopg.OperationalError("gone")), pytest.raises(psycopg.Error):
        tell(url, run, questions(), Drawn())
    assert spent(url) == Cost.of(0)
    assert tell(url, run, questions(), Drawn())["c0"] == {"count": "1"}


def test_too_little_left_draws_and_charges_nothing(url: str, run: str) -> None:
    tell(url, run, questions("0.3"), Drawn())
    draw = Drawn()
    with pytest.raises(Conflict, match=r"of which epsilon 0\.4 is left; it was epsilon 1; epsilon 0\.4 would fit"):
        tell(url, OTHER, questions("0.3"), draw)
    assert (draw.times, spent(url)) == (0, Cost.of("0.6"))
    tell(url, OTHER, questions("0.2"), draw)
    assert spent(url) == Cost.of(1)


def test_of_two_runs_that_race_for_the_last_of_a_budget_one_gets_it(url: str, run: str) -> None:
    begun = threading.Barrier(2)

    def draw(column: str) -> Answer:
        if column == "c0":
            begun.wait(30)  # each has seen that there is enough
        return {"count": "1"}

    def one(name: str) -> str:
        try:
            tell(url, name, questions(), draw)
        except Conflict as error:
            return str(error)
        return "told"

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(one, [run, OTHER]))
    assert found[1] == "told"
    assert "epsilon 0 is left" in found[0]
    assert spent(url) == Cost.of(1)


def test_two_workers_that_ask_for_one_run_are_told_the_same(url: str, run: str) -> None:
    """One may be stale: its partition has moved, and it doesn't know."""
    begun, numbers = threading.Barrier(2), iter(range(10))

    def draw(column: str) -> Answer:
        if column == "c0":
            begun.wait(30)  # each has seen that nothing was told
        return {"count": str(next(numbers))}

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: tell(url, run, questions(), draw), range(2)))
    assert next(numbers) == 4
    assert found[0] == found[1]
    assert spent(url) == Cost.of(1)


def test_of_a_run_that_is_over_nothing_is_told(url: str, conn: Connection, run: str) -> None:
    fail_run(conn, "worker", run, "because")
    conn.commit()
    with pytest.raises(Conflict, match="is over"):
        tell(url, run, questions(), Drawn())
    assert spent(url) == Cost.of(0)


def test_a_task_that_asks_for_more_than_is_left_is_not_started(
    api: httpx.Client, ctx: Context, base: str, url: str, conn: Connection
) -> None:
    """Both of its tables together."""
    table = (
        "    from: {thing: {}}\n    transform:\n      - aggregate: {columns: {n: count(*)},"
        " noise: {budget: people, epsilon: 0.4}}\n"
    )
    text = "task: small\ntables:\n  thing:\n    columns: {id: {type: int64}}\n"
    text += "    sources: {file: {connector: csv, path: things.csv}}\n"
    text += f"  one:\n{table}  two:\n{table}"
    assert api.post("/tasks", json={"text": text, "base": base, "file": "t.yaml"}).status_code == 201
    assert api.post("/tasks/small/versions/1/release").status_code == 200

    def start() -> tuple[int, str]:
        answer = api.post("/runs", json={"task": "small"})
        return answer.status_code, answer.json().get("detail", "")

    code, why = start()
    assert (code, "metal privacy budget set people --epsilon 0.8" in why) == (409, True)
    privacy.set_budget(ctx, "officer", "people", "0.7")
    assert start() == (
        409,
        "epsilon 0.8 does not fit the privacy budget people, of which epsilon 0.7 is left; it was epsilon 0.7;"
        " epsilon 0.7 would fit",
    )
    assert conn.execute("SELECT count(*) FROM metal.runs").fetchone() == (0,)
    privacy.set_budget(ctx, "officer", "people", "0.8")
    assert start()[0] == 201
    assert spent(url) == Cost.of(0)


def test_what_was_told_outlives_its_run(url: str, conn: Connection, run: str) -> None:
    tell(url, run, questions(), Drawn())
    conn.execute("DELETE FROM metal.runs WHERE run = %s", (run,))
    conn.commit()
    assert spent(url) == Cost.of(1)


def test_a_home_from_before_budgets_gets_their_tables(
    url: str, conn: Connection, ctx: Context, new_run: NewRun
) -> None:
    run = new_run(RUN)
    conn.execute("DROP TABLE metal.privacy_answers, metal.privacy_budgets")
    conn.execute("UPDATE metal.schema_version SET digest = 'earlier'")
    conn.commit()
    migrate(url)
    privacy.set_budget(ctx, "officer", "people", 1)
    tell(url, run, questions(), Drawn())
    assert spent(url) == Cost.of(1)


def test_many_small_costs_add_up_exactly(url: str, ctx: Context, conn: Connection, run: str) -> None:
    """A tenth in three parts, ten times: what floats would miss by a little."""
    third = Cost(Cost.of("0.1").epsilon / 3)
    privacy.set_budget(ctx, "officer", "people", 1)
    for n in range(10):
        asked = {f"{n}/{part}": Question("count", third) for part in range(3)}
        tell(url, run, asked, Drawn(), f"t{n}")
    assert spent(url) == Cost.of(1)
    with pytest.raises(Conflict, match="nothing more"):
        tell(url, OTHER, questions("1e-9", 1), Drawn())


def test_budgets_over_the_api(api: httpx.Client, url: str, run: str) -> None:
    made = api.put("/privacy/budgets/city", json={"epsilon": 0.1, "delta": "1e-6"})
    nothing = {"epsilon": 0.0, "delta": 0.0}
    city = {"epsilon": 0.1, "delta": 1e-6}
    assert made.json() == {"name": "city", "budget": city, "spent": nothing, "left": city, "runs": 0, "last": None}
    tell(url, run, questions("0.25"), Drawn())
    found = api.get("/privacy/budgets").json()["items"]
    assert [(one["name"], one["left"]["epsilon"], one["runs"]) for one in found] == [
        ("city", 0.1, 0),
        ("people", 0.5, 1),
    ]
    assert api.put("/privacy/budgets/people", json={"epsilon": 0.25}).json()["left"]["epsilon"] == -0.25
    entries = api.get("/audit", params={"action": "privacy.budget_set", "subject": "people"}).json()["items"]
    assert entries[0]["actor"] == "tester"
    assert entries[0]["detail"] == {
        "budget": {"epsilon": 0.25, "delta": 0.0},
        "before": {"epsilon": 1.0, "delta": 0.0},
    }
    missing = api.get("/privacy/budgets/none")
    assert missing.status_code == 404
    assert "metal privacy budget set none" in missing.json()["detail"]


def test_what_is_no_budget_is_refused(api: httpx.Client) -> None:
    for name, body, path in (
        ("1st", {"epsilon": 1}, "name"),
        ("people", {"epsilon": "much"}, "epsilon"),
        ("people", {"epsilon": -1}, "epsilon"),
        ("people", {"epsilon": "nan"}, "epsilon"),
        ("people", {"epsilon": 1, "delta": 1}, "delta"),
        ("people", {"epsilon": 1, "delta": -1e-9}, "delta"),
    ):
        answer = api.put(f"/privacy/budgets/{name}", json=body)
        assert answer.status_code == 400, answer.text
        assert [one["path"] for one in answer.json()["mistakes"]] == [path]
    assert api.get("/privacy/budgets").json()["items"] == []


def test_budgets_on_the_command_line(
    served: str, token: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METAL_API", served)
    monkeypatch.setenv("METAL_API_TOKEN", token)

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = metal(["privacy", "budget", *arguments])
        return code, *capfd.readouterr()

    assert call("set", "people", "--epsilon", "0.3", "--delta", "1e-6", "--json")[0] == 0
    code, out, _ = call("show", "--json")
    assert (code, json.loads(out)["budgets"][0]["left"]) == (0, {"epsilon": 0.3, "delta": 1e-6})
    code, out, _ = call("show", "people")
    assert code == 0
    assert "0.3, delta 1e-06" in out
    code, _, error = call("show", "none")
    assert code == 2
    assert "there is no privacy budget 'none'" in error
    code, _, error = call("set", "people", "--epsilon", "much")
    assert code == 2
    assert "'much' is no number" in error


def test_what_is_left_is_a_metric(app: FastAPI, ctx: Context, conn: Connection, url: str, run: str) -> None:
    tell(url, run, questions("0.25"), Drawn())
    metrics = app.state.metrics
    Relay(url, {}, metrics)._note(conn)
    assert metrics.registry.get_sample_value("metal_privacy_epsilon_left", {"budget": "people"}) == 0.5
