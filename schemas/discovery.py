"""Finds components by walking a package: one class to a module, which says its `name`. Knows no component."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def discover(package: ModuleType, protocol: type[T]) -> dict[str, type[T]]:
    """Every class of a module below the package that has what the protocol's class variables declare.

    Two classes of one name are an error of the code.
    """
    wanted = {name for name in protocol.__annotations__ if not name.startswith("_")} | {"name"}
    found: dict[str, type[Any]] = {}
    for module in _modules(package):
        for candidate in vars(module).values():
            if not inspect.isclass(candidate) or candidate.__module__ != module.__name__:
                continue
            name: Any = getattr(candidate, "name", None)
            if not isinstance(name, str) or getattr(candidate, "_is_protocol", False):
                continue
            if not all(hasattr(candidate, one) for one in wanted):
                continue
            if name in found:
                raise TypeError(f"{found[name].__module__} and {module.__name__} both define {name}")
            found[name] = candidate
    return dict(sorted(found.items()))


def _modules(package: ModuleType) -> list[ModuleType]:
    prefix = f"{package.__name__}."
    return [import_module(info.name) for info in pkgutil.walk_packages(package.__path__, prefix)]
