"""What went wrong, for a person on stderr or as one JSON document on stdout, and the exit code that says it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import typer

from control_api.cli.output import answer
from schemas.errors import Conflict, Denied, Fatal, InvalidInput, MetalError, NotFound, Retriable

FAILED: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3
DENIED: Final = 4
NOT_ANONYMIZED: Final = 5  # a certificate that holds, and says so
INTERRUPTED: Final = 130

_KINDS: Final[Mapping[type[MetalError], tuple[int, str]]] = {
    InvalidInput: (WRONG, "invalid-input"),
    NotFound: (WRONG, "not-found"),
    Conflict: (WRONG, "conflict"),
    Retriable: (UNREACHABLE, "unavailable"),
    Denied: (DENIED, "denied"),
    Fatal: (FAILED, "failed"),
}
_ClickError: Final[type[Exception]] = typer.BadParameter.__mro__[2]  # the root of what a wrong command line raises


@dataclass(frozen=True)
class Failure:
    """`code` is the exit code, `kind` the word that a program can go by."""

    code: int
    kind: str
    message: str
    mistakes: list[dict[str, Any]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": self.kind, "message": self.message}
        return {"error": found | ({"mistakes": self.mistakes} if self.mistakes else {})}


def failure(error: Exception) -> Failure:
    """What is an error of this program is shown with where it happened."""
    if isinstance(error, InvalidInput):
        code, kind = _KINDS[InvalidInput]
        return Failure(code, kind, str(error), [vars(mistake) for mistake in error.mistakes])
    for cls, (code, kind) in _KINDS.items():
        if isinstance(error, cls):
            return Failure(code, kind, str(error))
    if isinstance(error, _ClickError):
        usage = getattr(error, "ctx", None)
        hint = "" if usage is None else f"\nsee: {usage.command_path} --help"
        said: str = error.format_message()  # type: ignore[attr-defined]  # click's
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help, or nothing if that was shown
            said = f"name a command\n{said}".rstrip()
        return Failure(WRONG, "invalid-input", f"{said}{hint}")
    traceback.print_exception(error)
    return Failure(FAILED, "unexpected", f"{type(error).__name__}: {error}; this should not happen, please report it")


def explain(found: Failure, as_json: bool) -> int:
    if as_json:
        answer(found.document())
    else:
        sys.stderr.write(f"metal: {found.message}\n")
    return found.code
