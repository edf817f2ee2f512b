"""What is wrong with the config of a rule or of an anonymization method, before the config meets a record.

Paths are relative to what was compiled; whoever knows the task file turns them into file and line.
Knows no file and no component.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.errors import MetalError

Path = tuple[str | int, ...]
Read = Callable[[str], str]  # the text of a file that a config names; raises OSError


@dataclass(frozen=True)
class Wrong:
    """One mistake: where, what, and what would be right."""

    path: Path
    wrong: str
    right: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.wrong}; {self.right}"


class ConfigError(MetalError):
    """Carries every mistake found, not just the first."""

    def __init__(self, mistakes: Iterable[Wrong]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class MisfitError(ValueError):
    """Raised by a component about its own config: what is wrong, what would be right, and where below it."""

    def __init__(self, wrong: str, right: str, at: Path = ()) -> None:
        super().__init__(f"{wrong}; {right}")
        self.at = at
        self.wrong = wrong
        self.right = right


def explain(error: ValidationError, config: type[BaseModel], raw: Any, path: Path) -> list[Wrong]:
    """Pydantic's findings about `raw` as mistakes below `path`, one for each place."""
    fields = ", ".join(field.alias or name for name, field in config.model_fields.items() if name != "root")
    found: dict[Path, Wrong] = {}
    for detail in error.errors(include_url=False):
        steps, value = _walk(detail["loc"], raw)
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisfitError):
            steps, wrong, right = (*steps, *cause.at), cause.wrong, cause.right
        elif detail["type"] == "extra_forbidden":
            wrong, right = "is not known here", f"known are {fields}" if len(steps) == 1 else "leave it out"
        elif detail["type"] == "missing":
            steps, wrong, right = (*steps, detail["loc"][-1]), "is missing", f"add {detail['loc'][-1]}"
        elif detail["type"] in _NOT_FOR.get(type(value), ()):
            continue  # the branch of a choice that was not meant
        else:
            shown = f"{value!r} " if isinstance(value, str | int | float) else ""
            wrong, right = f"{shown}does not fit", detail["msg"][0].lower() + detail["msg"][1:]
        found.setdefault((*path, *steps), Wrong((*path, *steps), wrong, right))
    return list(found.values()) or [Wrong(path, "does not fit", f"known are {fields}")]


_NOT_FOR: dict[type, tuple[str, ...]] = {str: ("model_type",), int: ("model_type",), dict: ("literal_error",)}


def _walk(location: Path, raw: Any) -> tuple[Path, Any]:
    """The steps of a location that lead through `raw`, without pydantic's names for branches of a choice."""
    steps: list[str | int] = []
    for part in location:
        inside = isinstance(raw, Mapping) and part in raw
        if inside or (isinstance(raw, Sequence) and not isinstance(raw, str) and isinstance(part, int)):
            steps.append(part)
            raw = raw[part]
    return tuple(steps), raw


def embedded(embed: Callable[[Any, Read], Any], raw: Any, read: Read, path: Path, mistakes: list[Wrong]) -> Any:
    """The config with its files read; what is wrong with them is added to the mistakes."""
    try:
        return embed(raw, read)
    except MisfitError as misfit:
        mistakes.append(Wrong((*path, *misfit.at), misfit.wrong, misfit.right))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        told = (getattr(error, "strerror", None) or str(error)).lower()
        mistakes.append(Wrong(path, f"names a file that can't be read ({told})", "give a UTF-8 file that is there"))
    return raw
