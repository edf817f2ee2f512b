"""What a home's stack does now, for people and for scripts.

Always: looks, changes nothing; shows no secret. Must not know: how output is shown.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.stack import probes, record, roster
from deploy.stack.endpoints import (
    Postgres,
    kafka_from_environment,
    postgres_from_environment,
    s3_from_environment,
)
from deploy.stack.layout import Layout, read_json
from deploy.stack.record import Record

FRESH = 10.0


@dataclass(frozen=True)
class Status:
    """The answer of `metal status --json`, and what `up` returns."""

    home: str
    state: str
    services: dict[str, list[dict[str, Any]]]
    endpoints: dict[str, str | None]
    changed: bool = False


def inspect(home: Path | None = None) -> Status:
    """States of the whole: down, starting, up, degraded, stopping, unsupervised."""
    layout = Layout.of(home)
    known = record.read(layout)
    living = {id(child) for child, _ in known.living()}
    services: dict[str, list[dict[str, Any]]] = {name: [] for name in roster.NAMES}
    for child in sorted(known.children, key=lambda child: int(child["index"])):
        if known.supervised or id(child) in living:
            services[child["name"]].append(_shown(child, known.supervised))
    for name in roster.external():
        services[name] = [{"pid": None, "state": "external"}]
    if known.supervised and not services["s3"]:
        services["s3"] = [{"pid": None, "state": "idle"}]
    return Status(str(layout.root), _state(known, services), services, _endpoints(layout, known, bool(living)))


def fetching(layout: Layout) -> str | None:
    """How far a download is that is going on now."""
    for name in roster.BACKENDS:
        path = layout.run / f"{name}.fetch.json"
        if path.exists() and time.time() - path.stat().st_mtime < FRESH:
            told = read_json(path)
            if told and told["done"] < told["total"]:
                return f"fetching {name}: {told['done'] >> 20} of {told['total'] >> 20} MiB"
    return None


def _shown(child: dict[str, Any], supervised: bool) -> dict[str, Any]:
    """One process; whether a service is ready is asked of it now."""
    state = child["state"]
    if state == "ready" and child["name"] in roster.SERVICES:
        state = "ready" if probes.status(child["ports"][0], "/ready") == 200 else "unready"
    shown = {
        "pid": child["pid"],
        "state": state if supervised or state != "starting" else "running",
        "port": child["ports"][0],
        "restarts": child["restarts"],
    }
    if child["reason"] is not None:
        shown["reason"] = child["reason"]
    return shown


def _state(known: Record, services: dict[str, list[dict[str, Any]]]) -> str:
    if not known.supervised:
        return "unsupervised" if any(shown.get("pid") for each in services.values() for shown in each) else "down"
    if known.state != "running":
        return "stopping"
    states = {shown["state"] for each in services.values() for shown in each} - {"external", "idle", "ready"}
    if not states:
        return "up"
    if states <= {"waiting", "starting"} and not any(child["restarts"] for child in known.children):
        return "starting"
    return "degraded"


def _endpoints(layout: Layout, known: Record, living: bool) -> dict[str, str | None]:
    """Addresses without secrets; the database's names the file that holds its password."""
    stored = (read_json(layout.root / "endpoints.json") or {}) if known.supervised or living else {}
    kafka, postgres, s3 = kafka_from_environment(), postgres_from_environment(), s3_from_environment()
    own = f"{Postgres(stored['postgres']).public}?passfile={layout.root / 'pgpass'}" if stored.get("postgres") else None
    return {
        "api": stored.get("api"),
        "kafka": kafka.bootstrap if kafka else (stored.get("kafka") or {}).get("bootstrap"),
        "postgres": postgres.public if postgres else own,
        "s3": s3.endpoint if s3 else (stored.get("s3") or {}).get("endpoint"),
    }
