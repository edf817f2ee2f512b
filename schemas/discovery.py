"""Finds components by walking a package: one class to a module, which says its `name`. Knows no component."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar, cast

T = TypeVar("T")


def discover(package: ModuleType, protocol: type[T]) -> dict[str, type[T]]:
    """Every class of a module below the package that has what the protocol's class variables declare.

    Two classes of one name are an error of the code.
    """
    wanted = {name for name in protocol.__annotations__ if not name.startswith("_")} | {"name"}
    found: dict[str, type[Any]] = {}
    for module in _modules(package):
        for candidate in cast(list[Any], list(vars(module).values())):
            if not inspect.isclass(candidate) or candidate.__module__ != module.__name__:
                continue
            if not isinstance(getattr(candidate, "name", None), str):
                continue
            if getattr(candidate, "_is_protocol", False) or not all(
                hasattr(candidate, one) for one in wanted
            ):
                continue
            if candidate.name in found:
                both = f"{found[candidate.name].__module__} and {module.__name__}"
                raise TypeError(f"{both} both define {candidate.name}")
            found[candidate.name] = candidate
    return dict(sorted(found.items()))


def _modules(package: ModuleType) -> list[ModuleType]:
    prefix = f"{package.__name__}."
    return [import_module(info.name) for info in pkgutil.walk_packages(package.__path__, prefix)]
