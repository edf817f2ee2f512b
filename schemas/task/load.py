"""Loads a task file: every mistake found at once, each with file, line and path, or the task.

Mistakes of form in one table do not hide those in another; what depends on such a table is not judged.
Must not know: any component by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import InvalidInput, Mistake
from schemas.task.components import Components, Outputs
from schemas.task.form import validated
from schemas.task.model import Task
from schemas.task.relations import check_methods, check_relations
from schemas.task.tables import check_tables
from schemas.task.text import Document, Finding, Place, dotted, parse, read_text


@dataclass(frozen=True)
class LoadedTask:
    """A task, the text it was read from, and the directory that its relative paths begin in."""

    task: Task
    text: str
    path: Path
    base: Path


def load(path: Path, components: Components) -> LoadedTask:
    """The task of a file; raises `InvalidInput` with every mistake."""
    text, task, mistakes = _read(path, components)
    errors = [mistake for mistake in mistakes if mistake.severity == "error"]
    if errors or task is None:
        raise InvalidInput(errors)
    return LoadedTask(task, text, path, path.resolve().parent)


def lint(path: Path, components: Components) -> list[Mistake]:
    """Every mistake of a task file, warnings included, in the order of its lines."""
    return _read(path, components)[2]


def lint_text(path: Path, text: str, components: Components) -> tuple[Task | None, list[Mistake]]:
    """What a text holds that would stand in a file of this path: its task, and every mistake.

    The task is whole only where no mistake is an error.
    """
    document = parse(text)
    base = path.resolve().parent
    task, findings = judge(document.data, components, base, unread=bool(document.findings))
    return task, _mistakes(path, document, [*document.findings, *findings])


def _read(path: Path, components: Components) -> tuple[str, Task | None, list[Mistake]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        wrong = f"the file can't be read: {error.strerror}"
        return "", None, [Mistake(str(path), 1, "(file)", wrong, "name a task file that exists")]
    text, unreadable = read_text(raw)
    if unreadable is not None:
        return "", None, _mistakes(path, Document(), [unreadable])
    return text, *lint_text(path, text, components)


def judge(data: Any, components: Components, base: Path, unread: bool = False) -> tuple[Task | None, list[Finding]]:
    """The task that data holds, with what is wrong in it; `unread`: its text had mistakes already."""
    if data is None and unread:
        return None, []
    if not isinstance(data, dict):
        return None, [Finding((), "a task is a mapping", "write task: NAME, description: ..., tables: ...")]
    task, findings = validated(Task, data, ())
    broken: frozenset[str] = frozenset()
    if task is None:
        task, broken = _sound(data, findings)
    if task is not None:
        findings = [*findings, *_checked(task, components, base, broken)]
    return task, findings


def _sound(data: dict[str, Any], findings: list[Finding]) -> tuple[Task | None, frozenset[str]]:
    """What remains of a task without the tables and settings whose form is wrong, and those tables."""
    tables = data.get("tables")
    if not isinstance(tables, dict):
        return None, frozenset()
    broken = {str(f.place[1]) for f in findings if f.place[:1] == ("tables",) and len(f.place) > 1}
    grown = True
    while grown:  # a table derived from a broken one can't be judged either
        more = {name for name, table in tables.items() if broken & _sources_of(table)} - broken
        broken |= more
        grown = bool(more)
    settings = {str(f.place[0]) for f in findings if f.place and f.place[0] != "tables"}
    rest = {key: value for key, value in data.items() if key not in settings}
    rest["tables"] = {name: table for name, table in tables.items() if name not in broken}
    rest.setdefault("task", "unnamed")
    return validated(Task, rest, ())[0], frozenset(broken)


def _sources_of(table: Any) -> set[str]:
    bases = table.get("from") if isinstance(table, dict) else None
    if not isinstance(bases, dict):
        return set()
    joined = [base.get("join") for base in bases.values() if isinstance(base, dict)]
    return set(bases) | {name for join in joined if isinstance(join, dict) for name in join}


def _checked(task: Task, components: Components, base: Path, broken: frozenset[str]) -> list[Finding]:
    """Findings of the checks here, then of the components' own where nothing was found yet."""
    findings = [*check_tables(task, components), *check_relations(task, components, broken)]
    outputs: Outputs = {}
    later: list[Finding] = []
    if components.outputs is not None:
        outputs, later = components.outputs(task)
    findings = _added(findings, [*later, *check_methods(task, outputs)])
    for inspection in components.inspections:
        findings = _added(findings, inspection(task, base))
    return findings


def _added(findings: list[Finding], later: list[Finding]) -> list[Finding]:
    told = {finding.place for finding in findings}

    def known(place: Place) -> bool:
        above = (place[:length] for length in range(4, len(place) + 1))  # a component's config, or within it
        return any(one in told for one in above) or any(one[: len(place)] == place for one in told)

    return findings + [finding for finding in later if not known(finding.place)]


def _mistakes(path: Path, document: Document, findings: list[Finding]) -> list[Mistake]:
    mistakes = [
        Mistake(
            str(path),
            finding.line or document.line(finding.place),
            dotted(finding.place),
            finding.wrong,
            finding.right,
            finding.severity,
        )
        for finding in findings
    ]
    return sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.line)
