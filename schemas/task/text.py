"""Reads the text of a task file: YAML 1.2 core values, each with the line that it stands in.

`on`, `no` and dates stay strings; a key is always a string. Duplicate keys, tags, merge keys and aliases that
grow without bound are refused. Knows nothing of tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

Place = tuple[str | int, ...]

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 40
MAX_NODES: Final = 50_000

_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Finding:
    """Something wrong at a place in the data; `warning` does not stop a task."""

    place: Place
    wrong: str
    right: str
    severity: Literal["error", "warning"] = "error"
    line: int | None = None


@dataclass
class Document:
    """The data, the line of each key and list item, and what was wrong with the text."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """The line of a place or, where it does not exist, of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def dotted(place: Place) -> str:
    """A place as people write it: `tables.person.transform[0].filter`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).lstrip(".") or "(file)"


def read_text(raw: bytes) -> tuple[str, Finding | None]:
    """The text of a file's bytes, or why it cannot be read."""
    if len(raw) > MAX_BYTES:
        return "", Finding((), f"the file has {len(raw)} bytes", f"a task file has at most {MAX_BYTES}", line=1)
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return "", Finding((), f"byte {error.start} is not UTF-8", "save the file as UTF-8", line=line)


def parse(text: str) -> Document:
    """Every mistake of the text that can be known at once; a broken syntax hides what follows it."""
    document = Document()
    try:
        _Reader(text, document).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong = " ".join(part for part in (error.context, error.problem) if part)
        right = "indent with spaces, never with tabs" if "'\\t'" in wrong else "write valid YAML"
        document.findings.append(Finding((), wrong, right, line=mark.line + 1 if mark else 1))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.findings.append(Finding((), "an unprintable character", "remove it or escape it", line=line))
    except _RefusedError as error:
        document.findings.append(error.finding)
    return document


class _RefusedError(Exception):
    """The text cannot be read any further."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.wrong)
        self.finding = finding


class _Reader:
    """Builds data out of YAML events, bounded in depth and size."""

    def __init__(self, text: str, document: Document) -> None:
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self.document = document
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0

    def read(self) -> None:
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _RefusedError(Finding((), "the file is empty", "describe a task: task, description, tables", line=1))
        self.document.data = self.value(next(self.events), ())
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            line = event.start_mark.line + 1
            finding = Finding((), "a second document begins here", "keep one task to a file", line=line)
            self.document.findings.append(finding)

    def value(self, event: Any, place: Place) -> Any:
        self.count(event, 1)
        if len(place) > MAX_DEPTH:
            self.refuse(event, f"nested more than {MAX_DEPTH} deep", "a task is never that deep")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        before = self.nodes
        if event.tag is not None:
            wrong = f"the tag {event.tag}"
            self.mistake(place, event, wrong, "leave it out; quote a value that should be text")
        if isinstance(event, yaml.SequenceStartEvent):
            result: Any = self.sequence(place)
        elif isinstance(event, yaml.MappingStartEvent):
            result = self.mapping(place)
        else:
            result = self.scalar(event, place)
        if event.anchor:
            self.anchors[event.anchor] = (result, self.nodes - before + 1)
        return result

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            right = f"define it before with &{event.anchor}, not around its own use"
            self.refuse(event, f"the alias *{event.anchor} has no value yet", right)
        data, nodes = self.anchors[event.anchor]
        self.count(event, nodes)
        return data

    def sequence(self, place: Place) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*place, len(items))
            self.document.lines[here] = event.start_mark.line + 1
            items.append(self.value(event, here))
        return items

    def mapping(self, place: Place) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(event, "a key that is not a plain word", "quote a key that begins with [, {, * or &")
            key, here = event.value, (*place, event.value)
            if key == "<<" and event.implicit[0]:
                right = "repeat the keys, or give the whole value an anchor (&name) and use it as *name"
                self.mistake(here, event, "merge keys are not part of YAML 1.2", right)
                self.value(next(self.events), here)
            elif key in entries:
                first = self.document.lines[here]
                self.mistake(here, event, f"the key {key} stands here twice (first in line {first})", "keep one")
                self.ignore(next(self.events), here)
            else:
                self.document.lines[here] = event.start_mark.line + 1
                entries[key] = self.value(next(self.events), here)
        return entries

    def ignore(self, event: Any, place: Place) -> None:
        lines = dict(self.document.lines)
        self.value(event, place)
        self.document.lines = lines

    def scalar(self, event: Any, place: Place) -> Any:
        text: str = event.value
        if event.style is not None:
            return text
        try:
            return plain(text)
        except ValueError:
            self.mistake(place, event, "a number of too many digits", "quote it to keep it as text")
            return text

    def count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            right = f"a task file has at most {MAX_NODES}, aliases counted as often as they are used"
            self.refuse(event, f"more than {MAX_NODES} values", right)

    def mistake(self, place: Place, event: Any, wrong: str, right: str) -> None:
        line = event.start_mark.line + 1
        self.document.findings.append(Finding(place, wrong, right, line=line))

    def refuse(self, event: Any, wrong: str, right: str) -> None:
        raise _RefusedError(Finding((), wrong, right, line=event.start_mark.line + 1))


def plain(text: str) -> Any:
    """The value of an unquoted scalar by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text
