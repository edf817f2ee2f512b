from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from control_api.actions.context import Context
from control_api.api.app import MAX_BODY, create_app
from control_api.api.metrics import Metrics
from control_api.store.db import Connection, connections

Text = Callable[..., str]
Serve = Callable[[FastAPI], AbstractContextManager[httpx.Client]]
TOKEN = "a-token-of-the-tests"


@pytest.fixture
def body(task_text: Text, base: str) -> dict[str, str]:
    return {"text": task_text(), "base": base, "file": "mine.yaml"}


@pytest.fixture
def run(api: httpx.Client, body: dict[str, str]) -> str:
    assert api.post("/tasks", json=body).status_code == 201
    assert api.post("/tasks/small/versions/1/release").status_code == 200
    name: str = api.post("/runs", json={"task": "small"}).json()["run"]
    return name


def test_a_task_from_its_text_to_its_run(api: httpx.Client, body: dict[str, str]) -> None:
    made = api.post("/tasks", json=body)
    assert made.status_code == 201
    assert made.headers["ETag"] == '"1"'
    assert made.json()["text"] == body["text"]
    assert made.json()["created_by"] == "tester"
    assert api.post("/tasks", json=body).json()["version"] == 1
    assert not api.get("/tasks/small").json()["released"]
    released = api.post("/tasks/small/versions/1/release", headers={"If-Match": '"1"'})
    assert released.headers["ETag"] == '"1-released"'
    assert [one["task"] for one in api.get("/tasks").json()["items"]] == ["small"]
    started = api.post("/runs", json={"task": "small"})
    assert started.status_code == 201
    run = started.json()
    assert started.headers["Location"] == f"/api/v1/runs/{run['run']}"
    assert run["state"] == "running"
    assert run["tables"] == {"thing": {"read": 0, "prepared": 0, "merged": 0, "rejected": 0, "dropped": {}}}
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert api.post(f"/runs/{run['run']}/{verb}", json={"reason": "why"}).json()["state"] == state
    assert api.get("/runs", params={"state": "stopped"}).json()["items"][0]["run"] == run["run"]
    assert api.get("/runs", params={"state": ["running", "paused"]}).json()["items"] == []
    found = api.get("/audit", params={"subject": run["run"]}).json()["items"]
    said = ["run.ended", "run.stopped", "run.resumed", "run.paused", "run.started"]
    assert [one["action"] for one in found] == said
    assert {one["actor"] for one in found} == {"tester"}
    assert api.get("/audit/verify").json()["ok"] is True


def test_lint_tells_every_mistake_and_registers_nothing(api: httpx.Client, body: dict[str, str]) -> None:
    assert api.post("/tasks/lint", json=body).json() == {"ok": True, "mistakes": []}
    found = api.post("/tasks/lint", json=body | {"text": "task: small\ntables: {}\nextra: 1\n"}).json()
    assert found["ok"] is False
    assert {one["file"] for one in found["mistakes"]} == {"mine.yaml"}
    assert api.get("/tasks").json()["items"] == []


ROUTES = [
    ("GET", "/tasks"),
    ("POST", "/tasks"),
    ("GET", "/tasks/small"),
    ("POST", "/runs"),
    ("GET", "/runs"),
    ("GET", "/runs/x"),
    ("GET", "/runs/x/events"),
    ("POST", "/runs/x/stop"),
    ("GET", "/audit"),
    ("GET", "/audit/verify"),
]


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic a-token-of-the-tests", "Bearer", "Bearer é"])
def test_nothing_is_told_without_the_token(served: str, header: str) -> None:
    given = {"Authorization": header.encode()} if header else {}
    for method, path in ROUTES:
        response = httpx.request(method, f"{served}/api/v1{path}", headers=given)
        assert response.status_code == 401, path
        assert response.headers["content-type"] == "application/problem+json"
        assert "Bearer" in response.headers["WWW-Authenticate"]


def test_health_needs_no_token(serve: Serve, app: FastAPI) -> None:
    with serve(app) as client:
        assert client.get("/healthz").json() == {"state": "ok"}
        assert client.get("/ready").json()["ready"] is True
        client.get("/api/v1/runs/some-run")
        metrics = client.get("/metrics").text
    assert 'metal_api_requests_total{method="GET",route="/healthz",status="200"} 1.0' in metrics
    assert "some-run" not in metrics


def test_every_path_of_the_api_is_guarded(serve: Serve, app: FastAPI) -> None:
    with serve(app) as client:
        for path, methods in app.openapi()["paths"].items():
            for method in methods:
                assert client.request(method, path.replace("{version}", "1")).status_code == 401, path


def is_problem(response: Any, status: int, kind: str) -> bool:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["type"] == f"urn:metal:{kind}"
    assert told["status"] == status
    return bool(told["detail"])


def test_problems(api: httpx.Client, body: dict[str, str], run: str) -> None:
    assert is_problem(api.get("/tasks/none"), 404, "not-found")
    assert is_problem(api.get("/tasks/small/versions/9"), 404, "not-found")
    assert is_problem(api.get("/runs/none"), 404, "not-found")
    assert is_problem(api.get("/nothing"), 404, "not-found")
    assert is_problem(api.get("/runs/none/events"), 404, "not-found")
    assert is_problem(api.post("/runs", json={"task": "none"}), 404, "not-found")
    assert is_problem(api.delete("/runs"), 405, "method-not-allowed")
    api.post(f"/runs/{run}/stop")
    assert is_problem(api.post(f"/runs/{run}/resume"), 409, "conflict")
    assert is_problem(api.get("/audit/verify", params={"seq": 1}), 400, "invalid-input")
    assert is_problem(api.get("/runs", params={"limit": 0}), 400, "invalid-input")
    assert is_problem(api.get("/runs", params={"state": "walking"}), 400, "invalid-input")
    wrong = api.post("/tasks", json=body | {"text": "task: 1x\n"})
    assert is_problem(wrong, 400, "invalid-input")
    assert wrong.json()["mistakes"][0]["file"] == "mine.yaml"
    named = api.post("/tasks", json=body, headers={"X-Metal-Actor": "a b\tc"})
    assert is_problem(named, 400, "invalid-input")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/tasks", {"text": "x", "base": "/", "fiel": "x"}),
        ("/tasks", {"text": 1, "base": "/"}),
        ("/runs", {"task": "small", "verison": 1}),
        ("/runs", {"task": "small", "secrets": {"A": {"b": "planted"}}}),
        ("/runs", {"task": "small", "version": 0}),
        ("/runs/x/stop", {"drop": True}),
        ("/runs/x/pause", []),
    ],
)
def test_bodies_that_are_not_understood(api: httpx.Client, path: str, sent: Any) -> None:
    response = api.post(path, json=sent)
    assert is_problem(response, 400, "invalid-input")
    assert "planted" not in response.text


def test_a_body_that_is_no_json_or_too_large(api: httpx.Client) -> None:
    assert is_problem(
        api.post("/runs", content=b"{", headers={"Content-Type": "application/json"}), 400, "invalid-input"
    )
    response = api.post("/tasks", content=b"x" * (MAX_BODY + 1), headers={"Content-Type": "application/json"})
    assert is_problem(response, 413, "too-large")


def test_what_somebody_else_changed_meanwhile(api: httpx.Client, body: dict[str, str], task_text: Text) -> None:
    assert api.post("/tasks", json=body, headers={"If-Match": '"0"'}).status_code == 201
    other = body | {"text": task_text("Others.")}
    assert is_problem(api.post("/tasks", json=other, headers={"If-Match": '"0"'}), 412, "precondition-failed")
    assert api.post("/tasks", json=other, headers={"If-Match": '"1"'}).json()["version"] == 2
    tag = api.get("/tasks/small").headers["ETag"]
    assert api.get("/tasks/small", headers={"If-None-Match": tag}).status_code == 304
    release = "/tasks/small/versions/2/release"
    assert is_problem(api.post(release, headers={"If-Match": '"7"'}), 412, "precondition-failed")
    assert api.post(release, headers={"If-Match": tag}).status_code == 200
    assert is_problem(api.post(release, headers={"If-Match": tag}), 412, "precondition-failed")
    assert api.post(release).status_code == 200
    assert is_problem(api.post("/tasks", json=body, headers={"If-Match": "soon"}), 400, "invalid-input")


def test_the_same_start_twice_is_one_start(api: httpx.Client, run: str) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (api.post("/runs", json={"task": "small"}, headers=headers) for _ in range(2))
    assert first.json()["run"] == second.json()["run"] != run
    assert is_problem(api.post("/runs", json={"task": "small", "version": 1}, headers=headers), 409, "conflict")


def test_pages(api: httpx.Client, run: str) -> None:
    made = [run, *(api.post("/runs", json={"task": "small"}).json()["run"] for _ in range(4))]
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get("/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["run"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    first = api.get("/audit", params={"limit": 3}).json()
    then = api.get("/audit", params={"limit": 3, "cursor": first["next"]}).json()
    numbers = [one["seq"] for one in first["items"] + then["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 6


def test_counts_are_those_of_the_producers_and_the_store(api: httpx.Client, run: str, conn: Connection) -> None:
    for q in range(2):
        conn.execute(
            "INSERT INTO metal.counts (run, producer, tab, counts) VALUES (%s, %s, 'thing',"
            ' \'{"read": 5, "merged": 1, "rejected": 1, "dropped": {"range": 1}, "prepared": 2}\')',
            (run, f"merge/{q}"),
        )
    conn.commit()
    expected = {"read": 10, "prepared": 4, "merged": 2, "rejected": 2, "dropped": {"range": 2}}
    assert api.get(f"/runs/{run}").json()["tables"]["thing"] == expected
    conn.execute(f'INSERT INTO "outbox_{run}".thing (_id, id) VALUES (1, 1), (2, 2), (3, 3)'.encode())
    conn.execute("UPDATE metal.runs SET state = 'prepared', prepared_at = now()")
    conn.commit()
    assert api.get(f"/runs/{run}").json()["tables"]["thing"] == expected | {"prepared": 3}


def test_a_database_that_is_away_is_503_and_not_500(serve: Serve, ctx: Context) -> None:
    away = connections(lambda: psycopg.connect("postgresql://x@127.0.0.1:1/none", connect_timeout=2))
    app = create_app(replace(ctx, connections=away), TOKEN, Metrics())
    with serve(app) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        for path in ("/api/v1/runs", "/api/v1/tasks/small", "/api/v1/audit", "/api/v1/runs/x/events"):
            response = client.get(path)
            assert is_problem(response, 503, "unavailable")
            assert response.headers["Retry-After"]
        assert client.get("/ready").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_ready_is_false_while_the_relay_is_stuck(served: str, run: str, conn: Connection) -> None:
    with httpx.Client(base_url=served) as client:
        assert client.get("/ready").status_code == 200
        conn.execute("UPDATE metal.control SET event = jsonb_set(event, '{at}', '1')")
        conn.commit()
        told = client.get("/ready")
    assert told.status_code == 503
    assert "waiting for the broker" in told.json()["why"]


def test_what_nobody_thought_of_tells_nothing(serve: Serve, ctx: Context) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("planted")

    app = create_app(replace(ctx, connections=broken), TOKEN, Metrics())
    with serve(app) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        response = client.get("/api/v1/runs")
    assert is_problem(response, 500, "failed")
    assert "planted" not in response.text
