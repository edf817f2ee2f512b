"""Rules of the house that no other tool holds: no host of a registry, no path of a machine, files of a readable length,
and every part of the code placed in a layer."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final

from docs.project import Finding, Project

HOSTS: Final = re.compile(
    r"pypi\.org|pythonhosted\.org|maven\.org|maven\.apache\.org|npmjs\.(?:org|com)|anaconda\.(?:org|com)"
    r"|crates\.io|rubygems\.org|proxy\.golang\.org|jitpack\.io"
)
MACHINE: Final = re.compile(r"(?<![\w.~$}])/(?:work|root|Users)/[\w.-]+|(?<![\w.~$}])/home/(?!metal\b)[a-z][\w-]*/")
LONG: Final = 300


def check_house(project: Project) -> Iterator[Finding]:
    for file in project.texts():
        lines = project.read(file).splitlines()
        for number, line in enumerate(lines, 1):
            if HOSTS.search(line):
                yield Finding(file, number, "names the host of a package registry, which is set on each machine")
            if MACHINE.search(line):
                yield Finding(file, number, "holds a path of one machine")
        if file.endswith(".py") and len(lines) > LONG:
            yield Finding(file, len(lines), f"has {len(lines)} lines; above {LONG} a file is split", "warning")
    yield from _placed(project)


def _placed(project: Project) -> Iterator[Finding]:
    """A part that no layer names could import whatever it likes."""
    settings = tomllib.loads(project.read("pyproject.toml")).get("tool", {}).get("importlinter", {})
    contracts = [one for one in settings.get("contracts", []) if one.get("type") == "layers"]
    named = set(re.findall(r"[\w.]+", " ".join(layer for one in contracts for layer in one["layers"])))
    for root in settings.get("root_packages", []):
        if root in named or not project.exists(root):
            continue
        for child in sorted((project.root / root).iterdir()):
            module = child.stem if child.suffix == ".py" else child.name
            code = child.suffix == ".py" or any(child.glob("*.py"))
            if code and module != "__init__" and f"{root}.{module}" not in named:
                yield Finding("pyproject.toml", 1, f"{root}.{module} stands in no layer of tool.importlinter")
