"""What the pages point at is there: links, files, commands, make targets, modules, topics and tables."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from docs.pages import Page, read_page
from docs.project import Finding, Project

FOLDERS: Final = (
    *("schemas", "processors", "connectors", "control_api", "deploy"),
    *("docs", "tests", "benchmarks", "examples", ".github", ".ci"),
)
_PATH: Final = re.compile(rf"^(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*{{}},-]*(?:::\w+)?$")
_FILE: Final = re.compile(r"^[\w.-]+\.(?:py|md|toml|lock|sql|avsc)$")
_DOTTED: Final = re.compile(r"^(?:schemas|processors|connectors|control_api|deploy|docs)(?:\.\w+)+$")
_STORED: Final = re.compile(r"^metal\.[a-z_]+$")
_COMMAND: Final = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?metal ((?:[a-z][\w-]*)(?: [a-z][\w-]*)*)?")
_MAKE: Final = re.compile(r"^(?:\$ )?make ([a-z]+)\b")
_SHELL: Final = frozenset({"sh", "bash", "shell", "console"})

Commands = dict[str, Any]  # name -> subcommands, or None for one that has none


def check_citations(project: Project, commands: Commands | None) -> Iterator[Finding]:
    """`commands` are the command line's own; None: it can't be loaded, so no command may be cited."""
    targets = set(re.findall(r"^([a-z]+):", project.read("Makefile"), re.M)) if project.exists("Makefile") else set()
    names = {Path(name).name for name in project.files()}
    stored = _stored_names(project)
    for file in project.files(".md"):
        page = read_page(project.read(file))
        yield from _check_links(project, file, page)
        for line, span in page.spans:
            wrong = _span(project, span, names, stored) or _typed(span, commands, targets)
            if wrong:
                yield Finding(file, line, wrong)
        for block in page.blocks:
            if block.language in _SHELL:
                for offset, text in enumerate(block.code.splitlines()):
                    wrong = _typed(text.strip(), commands, targets)
                    if wrong:
                        yield Finding(file, block.line + offset, wrong)


def _check_links(project: Project, file: str, page: Page) -> Iterator[Finding]:
    for line, target in page.links:
        if re.match(r"^[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, fragment = target.partition("#")
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(file), path)) if path else file
        if meant.startswith("..") or not project.exists(meant):
            yield Finding(file, line, f"the link {target} leads nowhere")
        elif fragment and meant.endswith(".md") and fragment not in read_page(project.read(meant)).anchors:
            yield Finding(file, line, f"{meant} has no heading for the link {target}")


def _span(project: Project, span: str, names: set[str], stored: set[str]) -> str:
    """What is wrong with a code span that names a file, a module, a topic or a table."""
    if _PATH.match(span):
        path, _, test = span.partition("::")
        found = list(project.root.glob(path)) if "*" in path else [project.root / path]
        if not found or not all(one.exists() for one in found):
            return f"there is no {path}"
        if test and not re.search(rf"^(?:async )?def {test}\b", project.read(path), re.M):
            return f"{path} has no {test}"
    elif _FILE.match(span) and span not in names:
        return f"there is no file {span}"
    elif _DOTTED.match(span) and not _resolves(span):
        return f"there is no {span}"
    elif _STORED.match(span) and span not in stored:
        return f"{span} is neither a topic nor a table of the control store"
    return ""


def _typed(text: str, commands: Commands | None, targets: set[str]) -> str:
    """What is wrong with a command line as someone would type it."""
    made = _MAKE.match(text)
    if made and made.group(1) not in targets:
        return f"the Makefile has no target {made.group(1)}"
    typed = _COMMAND.match(text)
    if not typed or not typed.group(1):
        return ""
    if commands is None:
        return "a command is cited, and control_api/cli/main.py can't be loaded"
    level: Commands | None = commands
    for word in typed.group(1).split():
        if level is None:
            return ""  # an argument
        if word not in level:
            return f"there is no command {word} in `metal {typed.group(1)}`"
        level = level[word]
    return ""


def _resolves(dotted: str) -> bool:
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


def _stored_names(project: Project) -> set[str]:
    found: set[str] = set()
    for file, pattern in (
        ("control_api/store/schema.sql", r"CREATE (?:TABLE|INDEX|VIEW) IF NOT EXISTS (metal\.\w+)"),
        ("schemas/topics.py", r"\"(metal\.\w+)\""),
    ):
        if project.exists(file):
            found |= set(re.findall(pattern, project.read(file)))
    return found
