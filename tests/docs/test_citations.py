"""A page that cites what is not there is told, with its line; one that cites what is there is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.citations import check_citations
from docs.project import Project

COMMANDS = {"up": None, "task": {"lint": None, "list": None}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name, text in {
        "Makefile": "check:\n\ttrue\n",
        "docs/other.md": "# A heading, with `code`\n",
        "tests/test_it.py": "def test_holds() -> None:\n    pass\n",
        "schemas/topics.py": 'OUTBOX = _stage("metal.outbox")\n',
        "control_api/store/schema.sql": "CREATE TABLE IF NOT EXISTS metal.runs (run text);\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return Project(tmp_path)


def wrongs(project: Project, page: str) -> list[str]:
    (project.root / "README.md").write_text(page)
    return [str(one) for one in check_citations(project, COMMANDS)]


@pytest.mark.parametrize(
    "page",
    [
        "[other](docs/other.md)",
        "[heading](docs/other.md#a-heading-with-code)",
        "[elsewhere](https://example.org/x)",
        "`docs/other.md` `tests/*.py` `tests/test_it.py::test_holds` `other.md`",
        "`metal up`, `metal task lint FILE`, `metal`, `make check`",
        "```sh\nmetal task list --json\nmake check\n```",
        "```python\n[not a link](nowhere.md)\n```",
        "`[not a link](nowhere.md)`",
        "`metal.outbox` and `metal.runs`",
        "`schemas.headers.Header`",
    ],
)
def test_what_is_there_is_not_told(project: Project, page: str) -> None:
    assert wrongs(project, page) == []


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("a\n\n[gone](docs/gone.md)", "README.md:3: the link docs/gone.md leads nowhere"),
        ("[out](../secret.md)", "README.md:1: the link ../secret.md leads nowhere"),
        ("[gone]: docs/gone.md", "README.md:1: the link docs/gone.md leads nowhere"),
        ("[x](docs/other.md#nothing)", "README.md:1: docs/other.md has no heading for the link docs/other.md#nothing"),
        ("`docs/gone.py`", "README.md:1: there is no docs/gone.py"),
        ("`tests/*.rs`", "README.md:1: there is no tests/*.rs"),
        ("`tests/test_it.py::test_gone`", "README.md:1: tests/test_it.py has no test_gone"),
        ("`gone.py`", "README.md:1: there is no file gone.py"),
        ("`metal down`", "README.md:1: there is no command down in `metal down`"),
        ("`metal task lnit`", "README.md:1: there is no command lnit in `metal task lnit`"),
        ("```sh\ntrue\n.venv/bin/metal gone\n```", "README.md:3: there is no command gone in `metal gone`"),
        ("`make cheese`", "README.md:1: the Makefile has no target cheese"),
        ("`metal.gone`", "README.md:1: metal.gone is neither a topic nor a table of the control store"),
        ("`schemas.headers.Gone`", "README.md:1: there is no schemas.headers.Gone"),
    ],
)
def test_what_is_not_there_is_told(project: Project, page: str, expected: str) -> None:
    assert wrongs(project, page) == [expected]


def test_no_command_may_be_cited_while_there_is_no_command_line(project: Project) -> None:
    (project.root / "README.md").write_text("`metal up`")
    (found,) = check_citations(project, None)
    assert "can't be loaded" in found.wrong
