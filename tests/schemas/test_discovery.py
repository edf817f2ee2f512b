"""Components are found by walking a package; nobody registers them."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Protocol

import pytest

from schemas.discovery import discover


class Plug(Protocol):
    name: ClassVar[str]
    Config: ClassVar[type]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    root = tmp_path / "plugs_found"
    (root / "inner").mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "inner" / "__init__.py").write_text("")
    (root / "one.py").write_text(
        "class One:\n    name = 'one'\n    class Config: ...\nclass Part:\n    name = 'part'\n"
    )
    (root / "inner" / "two.py").write_text("from plugs_found.one import One\nclass Two(One):\n    name = 'two'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("plugs_found")
    for name in [name for name in sys.modules if name.startswith("plugs_found")]:
        del sys.modules[name]


def test_what_declares_everything_is_found_once_where_it_is_defined(package: ModuleType) -> None:
    found = discover(package, Plug)
    assert list(found) == ["one", "two"]
    assert found["two"].__module__ == "plugs_found.inner.two"


def test_two_of_one_name_are_an_error(package: ModuleType) -> None:
    path = Path(str(package.__path__[0])) / "three.py"
    path.write_text("class Three:\n    name = 'one'\n    class Config: ...\n")
    with pytest.raises(TypeError, match="both define one"):
        discover(package, Plug)
