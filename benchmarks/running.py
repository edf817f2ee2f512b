"""Runs scenarios and says what they measured, each with the machine, its load, versions and exact parameters."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from benchmarks import scenarios
from benchmarks.engine import Engine, engine
from benchmarks.figures import Outcome
from benchmarks.machine import CHECKOUT, load, machine, versions
from benchmarks.session import Session
from deploy.stack.jars import listed as jars_listed
from schemas.errors import InvalidInput, Mistake

Say = Callable[[str], None]
ORDER: Final = (
    "people",
    "topic",
    "scale",
    "latency",
    "epoch",
    "recovery",
    "start",
    "privacy_checker",
    "privacy_lattice",
    "privacy_versions",
    "privacy_mondrian",
    "privacy_engine",
    "demo",
)
PARTS: Final = ("rules", "anonymize", "sources")  # programs that measure one part, without scales
WITHOUT_STACK: Final = (
    "demo", "privacy_checker", "privacy_lattice", "privacy_versions", "privacy_mondrian", "rules", "anonymize",
)  # fmt: skip
SCALES: Final = ("full", "small", "tiny")
ALL: Final = "all"


@dataclass(frozen=True)
class Asked:
    """`names` of scenarios; `changed` parameters by name, for those scenarios that have one of that name."""

    names: Sequence[str]
    runs: int
    scale: str
    data: Path
    changed: dict[str, float]


def found() -> dict[str, ModuleType]:
    names = sorted((one.name for one in pkgutil.iter_modules(scenarios.__path__)), key=ORDER.index)
    return {name: import_module(f"{scenarios.__name__}.{name}") for name in names}


def about() -> dict[str, str]:
    """Every name that can be asked for, and what it measures."""
    parts = {name: import_module(f"benchmarks.{name}") for name in PARTS}
    return {name: (module.__doc__ or "").strip().splitlines()[0] for name, module in {**found(), **parts}.items()}


def measured(asked: Asked, say: Say) -> Iterator[dict[str, Any]]:
    """One document for each scenario, as soon as it is measured."""
    names = chosen(asked.names)
    plans = {name: parameters(name, asked) for name in names if name not in PARTS}
    os.environ.setdefault("METAL_HOME", str(Path("~/.metal-bench").expanduser()))
    asked.data.mkdir(parents=True, exist_ok=True)
    if set(names) <= set(WITHOUT_STACK):
        for name in names:
            yield _one(name, asked, plans.get(name, {}), None, say)
        return
    with engine(say) as running:
        for name in names:
            yield _one(name, asked, plans.get(name, {}), running, say)


def chosen(names: Sequence[str]) -> list[str]:
    known = [*ORDER, *PARTS]
    wrong = [name for name in names if name not in (*known, ALL)]
    if wrong:
        right = f"one of {', '.join((*known, ALL))}"
        raise InvalidInput([Mistake("command line", 1, name, "there is no such benchmark", right) for name in wrong])
    return known if not names or ALL in names else [name for name in known if name in names]


def parameters(name: str, asked: Asked) -> dict[str, Any]:
    """The scale's, with those changed that were asked to be."""
    given: dict[str, Any] = dict(found()[name].SCALES[asked.scale])
    return given | {key: type(given[key])(value) for key, value in asked.changed.items() if key in given}


def command(name: str, asked: Asked) -> str:
    """What measures this one again, with every parameter of its that was changed."""
    given = parameters(name, asked)
    changed = [f"--set {key}={given[key]}" for key in asked.changed if key in given]
    return " ".join([f"metal bench {name} --scale {asked.scale} --runs {asked.runs}", *changed])


def check_changed(asked: Asked) -> None:
    """A parameter that no chosen scenario has is a mistake."""
    known = {key for name in chosen(asked.names) if name not in PARTS for key in parameters(name, asked)}
    wrong = sorted(set(asked.changed) - known)
    if wrong:
        right = f"one of {', '.join(sorted(known))}"
        raise InvalidInput([Mistake("command line", 1, name, "there is no such parameter", right) for name in wrong])


def _one(name: str, asked: Asked, given: dict[str, Any], running: Engine | None, say: Say) -> dict[str, Any]:
    say(f"{name}: {', '.join(f'{key} {value:,}' for key, value in given.items()) or 'as it is'}")
    began, before = time.monotonic(), load()
    document: dict[str, Any] = {"benchmark": name, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    if name in PARTS:
        document |= {"command": f"python -m benchmarks.{name}", "details": _part(name)}
    else:
        session = Session(running, asked.data, asked.runs, lambda line: say(f"{name}: {line}"))
        outcome: Outcome = found()[name].measure(session, **given)
        document |= {
            "command": command(name, asked),
            "scale": asked.scale,
            "runs": asked.runs,
            "parameters": given,
            "figures": {key: figure.document() for key, figure in outcome.figures.items()},
            "details": outcome.details,
        }
    document |= {
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine(),
        "load_before": before,
        "load_after": load(),
        "versions": versions() | (servers(running) if running else {}),
    }
    return document


def servers(running: Engine) -> dict[str, str]:
    jars = [jar.artifact.split(":") for jar in jars_listed("kafka")]
    kafka = next(version for _, artifact, version, *_ in jars if artifact == "kafka-clients")
    return {"postgres": str(running.query("SHOW server_version")[0][0]), "kafka_clients": kafka}


def _part(name: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def write(path: Path, documents: list[dict[str, Any]]) -> None:
    """What was measured so far, so that an interrupted evening is not lost."""
    path.write_text(json.dumps({"benchmarks": documents}, indent=1) + "\n")
