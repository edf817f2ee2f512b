"""Errors, grouped by what to do about them.

A `Reject` is not here: a record that cannot be processed is a value in an outcome, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class MetalError(Exception):
    """The root of what this project raises on purpose."""


class Retriable(MetalError):
    """Something outside is not answering; the same call may succeed later."""


class Fatal(MetalError):
    """This run cannot go on; its message is shown to the user and must carry no raw value."""


class Denied(MetalError):
    """The caller may not do this."""


class NotFound(MetalError):
    """What was asked for does not exist."""


class Conflict(MetalError):
    """The request does not fit the present state."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with an input: where, what, and what would be right; a warning stops nothing."""

    file: str
    line: int
    path: str
    wrong: str
    right: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        level = "" if self.severity == "error" else f"{self.severity}: "
        return f"{self.file}:{self.line}: {level}{self.path}: {self.wrong}; {self.right}"


class InvalidInput(MetalError):
    """The input is wrong. Carries every mistake found, not just the first."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes
