"""The other checks of the docs: each finds the mistake that it is there for, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from control_api.composition import components
from docs.catalogue import PAGE as CATALOGUE
from docs.catalogue import catalogue, check_catalogue, undescribed
from docs.house import check_house
from docs.licences import check_licences, read_rows
from docs.project import Finding, Project
from docs.records import check_pages, check_records
from docs.requirement_ids import IDS, check_requirements
from docs.snippets import check_snippets
from schemas.task.components import Components

RECORD = "# 1. Batches\n\nDate: 2026-11-21. Status: accepted.\n\n**Context.** Records are many.\n"
ROWS = [f"| {name} | what | open | – | – |" for name in IDS]
LAYERS = """
[tool.importlinter]
root_packages = ["processors", "schemas"]
[[tool.importlinter.contracts]]
type = "layers"
layers = ["processors.worker : (processors.plan)", "schemas"]
"""


class Desk(Project):
    """A project that a test writes."""

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def told(self, check: Callable[[Project], Iterator[Finding]]) -> list[str]:
        return [f"{one.file}:{one.line} {one.wrong}" for one in check(self)]


class Inner(BaseModel):
    deep: int
    told: int = Field(description="What it is.")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def rows(desk: Desk, *changed: str) -> list[str]:
    names = {row.split(" | ")[0] for row in changed}
    kept = [row for row in ROWS if row.split(" | ")[0] not in names]
    desk.put("docs/requirements.md", "\n".join([*kept, *changed]))
    return desk.told(check_requirements)


class TestRequirements:
    def test_all_of_them_once_is_right(self, desk: Desk) -> None:
        assert rows(desk, "| R-F1 | what | done | `a.py` | `tests/test_a.py` |") == []

    def test_there_are_sixty_one(self) -> None:
        assert len(IDS) == len(set(IDS)) == 61
        assert {"R-T1", "R-A8", "R-N6", "R-G7"} <= set(IDS)

    def test_a_missing_one(self, desk: Desk) -> None:
        desk.put("docs/requirements.md", "\n".join(ROWS[1:]))
        assert desk.told(check_requirements) == ["docs/requirements.md:1 R-T1 is missing"]

    def test_one_that_stands_twice(self, desk: Desk) -> None:
        desk.put("docs/requirements.md", "\n".join([*ROWS, ROWS[0]]))
        assert desk.told(check_requirements) == ["docs/requirements.md:62 R-T1 stands in line 1 already"]

    def test_one_that_is_done_without_a_test(self, desk: Desk) -> None:
        (told,) = rows(desk, "| R-F1 | what | done | `a.py` | – |")
        assert told.endswith("R-F1: done without a test that shows it")

    def test_one_that_is_done_in_part_says_what_is_missing(self, desk: Desk) -> None:
        assert rows(desk, "| R-F1 | what | part: not the rest | `a.py` | – |") == []
        (told,) = rows(desk, "| R-F1 | what | part | `a.py` | – |")
        assert told.endswith("R-F1: part of what? say what is missing")

    def test_a_state_that_there_is_not(self, desk: Desk) -> None:
        (told,) = rows(desk, "| R-F1 | what | almost | `a.py` | – |")
        assert "'almost'" in told

    def test_one_that_is_cited_and_does_not_exist(self, desk: Desk) -> None:
        desk.put("schemas/a.py", '"""Does it (R-F9)."""\n')
        assert rows(desk) == ["schemas/a.py:1 R-F9 is no requirement"]


class TestRecords:
    def test_one_that_is_told_and_dated_is_right(self, desk: Desk) -> None:
        desk.put("docs/adr/0001-batches.md", RECORD)
        desk.put("docs/adr/README.md", "[1](0001-batches.md)")
        assert desk.told(check_records) == []

    def test_one_that_the_index_leaves_out(self, desk: Desk) -> None:
        desk.put("docs/adr/0001-batches.md", RECORD)
        assert desk.told(check_records) == ["docs/adr/0001-batches.md:1 docs/adr/README.md does not tell of it"]

    @pytest.mark.parametrize(
        ("name", "text", "expected"),
        [
            ("0002-b.md", RECORD, "its heading begins with `# 2. `"),
            ("0001-b.md", RECORD.replace("Date", "When"), "a line `Date: YYYY-MM-DD. Status: accepted.` is missing"),
            ("first.md", RECORD, "a record's name is NNNN-what-it-decides.md"),
            ("0001-b.md", RECORD + "\n" * 60, "is longer than a page"),
        ],
    )
    def test_one_of_another_shape(self, desk: Desk, name: str, text: str, expected: str) -> None:
        desk.put(f"docs/adr/{name}", text)
        desk.put("docs/adr/README.md", f"[1]({name})")
        (told,) = desk.told(check_records)
        assert told.endswith(expected)

    def test_two_of_one_number(self, desk: Desk) -> None:
        desk.put("docs/adr/0001-a.md", RECORD)
        desk.put("docs/adr/0001-b.md", RECORD)
        desk.put("docs/adr/README.md", "[1](0001-a.md) [1](0001-b.md)")
        assert desk.told(check_records) == ["docs/adr/0001-b.md:1 docs/adr/0001-a.md has the same number"]


def test_a_page_that_the_index_leaves_out(desk: Desk) -> None:
    desk.put("docs/README.md", "[one](one.md)")
    desk.put("docs/one.md", "# One")
    desk.put("docs/adr/0001-batches.md", RECORD)
    assert desk.told(check_pages) == []
    desk.put("docs/two.md", "# Two")
    assert desk.told(check_pages) == ["docs/two.md:1 docs/README.md does not tell of it"]


class TestHouse:
    def test_a_part_without_a_layer(self, desk: Desk) -> None:
        desk.put("pyproject.toml", LAYERS)
        desk.put("processors/worker/app.py", "")
        desk.put("processors/plan.py", "")
        desk.put("processors/__init__.py", "")
        desk.put("schemas/batch.py", "")
        assert desk.told(check_house) == []
        desk.put("processors/stray.py", "")
        assert desk.told(check_house) == ["pyproject.toml:1 processors.stray stands in no layer of tool.importlinter"]

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("url = 'https://{}/simple'".format(".".join(["pypi", "org"])), "registry"),
            ("see /{}/main/x".format("work"), "machine"),
            ("HOME=/{}/x".format("root"), "machine"),
            ("cd /{}/ada/x".format("home"), "machine"),
        ],
    )
    def test_what_must_not_be_written(self, desk: Desk, line: str, what: str) -> None:
        desk.put("pyproject.toml", "")
        desk.put("docs/a.md", f"fine\n{line}\n")
        (told,) = desk.told(check_house)
        assert told.startswith("docs/a.md:2")
        assert what in told

    @pytest.mark.parametrize(
        "line", ["$HOME/work/x", "docs/work/a", "https://example.org/work/a", "~/root/x", "/home/metal/"]
    )
    def test_what_may_be_written(self, desk: Desk, line: str) -> None:
        desk.put("pyproject.toml", "")
        desk.put("docs/a.md", line)
        assert desk.told(check_house) == []

    def test_a_long_file_is_a_warning(self, desk: Desk) -> None:
        desk.put("pyproject.toml", "")
        desk.put("schemas/long.py", "x = 1\n" * 301)
        (found,) = check_house(desk)
        assert found.severity == "warning"


class TestSnippets:
    def test_code_that_runs(self, desk: Desk) -> None:
        desk.put("README.md", "```python\nimport schemas.columns\n```\n\n```sh\nnot python\n```\n")
        assert desk.told(check_snippets) == []

    @pytest.mark.parametrize("code", ["raise ValueError('no')", "def broken(:", "import schemas.nowhere"])
    def test_code_that_does_not(self, desk: Desk, code: str) -> None:
        desk.put("README.md", f"# Title\n\n```python\n{code}\n```\n")
        (told,) = desk.told(check_snippets)
        assert told.startswith("README.md:4 the code does not run")


class TestWritten:
    def test_a_catalogue_that_tells_what_there_is(self, desk: Desk) -> None:
        desk.put(CATALOGUE, catalogue())
        assert desk.told(check_catalogue) == []

    def test_a_catalogue_that_does_not(self, desk: Desk) -> None:
        desk.put(CATALOGUE, catalogue().replace("### range", "### rage"))
        (told,) = desk.told(check_catalogue)
        assert "make docs" in told

    def test_a_field_without_a_meaning_is_found_wherever_it_stands(self) -> None:
        class Silent:
            class Config(BaseModel):
                said: Inner = Field(description="What it is.")
                blank: str = Field(description=" ")

        one = {"one": Silent}
        for found in (Components(one), Components({}, one), Components({}, {}, one), Components({}, {}, {}, one)):
            assert list(undescribed(found)) == ["one.blank", "one.Inner.deep"]

    def test_every_field_of_a_component_has_a_meaning(self) -> None:
        assert list(undescribed(components())) == []

    def test_the_catalogue_tells_components_of_every_kind(self) -> None:
        told = catalogue()
        for name in ("### range", "### tokenize", "### csv"):
            assert f"{name}\n" in told
        assert "| `path` | text | required | A file, a directory or a glob" in told


class TestLicences:
    LOCK = "one==1.0 \\\n    --hash=sha256:00\ntwo==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    PAGE = "| distribution | version | licence |\n| one | 1.0 | MIT |\n| two | 2.0 | BSD-3-Clause |\n"

    def told(self, desk: Desk, licence: str = "MIT", page: str = PAGE) -> list[str]:
        desk.put("requirements.lock", self.LOCK)
        desk.put("docs/licences.md", page)
        return [one.wrong for one in check_licences(desk, {"one": ("1.0", licence)})]

    def test_what_is_told_and_open_is_right(self, desk: Desk) -> None:
        assert self.told(desk) == []
        assert read_rows(self.PAGE) == {"one": ("1.0", "MIT"), "two": ("2.0", "BSD-3-Clause")}

    def test_one_that_is_not_open(self, desk: Desk) -> None:
        page = self.PAGE.replace("MIT", "BUSL-1.1")
        assert self.told(desk, "BUSL-1.1", page) == [
            "one 1.0 is not under an open licence that is known here: BUSL-1.1"
        ]

    def test_one_that_is_left_out(self, desk: Desk) -> None:
        (told,) = self.told(desk, page=self.PAGE.replace("| one | 1.0 | MIT |\n", ""))
        assert told.startswith("one is missing")

    def test_one_of_another_version(self, desk: Desk) -> None:
        (told,) = self.told(desk, page=self.PAGE.replace("2.0", "1.9"))
        assert told.startswith("two 1.9 is not what requirements.lock pins")
