"""What is wrong with the config of a rule or of an anonymization method, before the config meets a record.

Paths are relative to what was compiled; whoever knows the task file turns them into file and line.
Knows no file and no component.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from schemas.errors import MetalError

Path = tuple[str | int, ...]


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
    """Raised by a component about its own config: what is wrong and what would be right."""

    def __init__(self, wrong: str, right: str) -> None:
        super().__init__(f"{wrong}; {right}")
        self.wrong = wrong
        self.right = right


def explain(error: ValidationError, config: type[BaseModel], path: Path) -> list[Wrong]:
    """Pydantic's findings as mistakes below `path`."""
    fields = ", ".join(field.alias or name for name, field in config.model_fields.items() if name != "root")
    found = []
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, MisfitError):
            wrong, right = cause.wrong, cause.right
        elif detail["type"] == "extra_forbidden":
            wrong, right = "is not known here", f"known are {fields}"
        elif detail["type"] == "missing":
            wrong, right = "is missing", f"add {detail['loc'][-1]}"
        else:
            wrong, right = "does not fit", detail["msg"][0].lower() + detail["msg"][1:]
        found.append(Wrong((*path, *detail["loc"]), wrong, right))
    return found
