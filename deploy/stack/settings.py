"""Settings read from the environment.

Always: an error names the variable and what would be right, never a secret's value.
Must not know: what the settings are for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import InvalidInput, Mistake


def secret(name: str, *, required: bool = True) -> str | None:
    """The variable NAME, or the content of the file that NAME_FILE names."""
    value = os.environ.get(name)
    if value:
        return value
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).expanduser().read_text().strip()
        except OSError as error:
            raise _mistake(
                f"{name}_FILE", f"{path}: {error.strerror}", "the path of a file that can be read"
            ) from error
    if required:
        raise _mistake(name, "is not set", f"set {name} or {name}_FILE")
    return None


def one_of(name: str, allowed: Sequence[str], default: str) -> str:
    """The variable's value, which must be one of these."""
    value = (os.environ.get(name) or default).upper()
    if value not in allowed:
        raise _mistake(name, f"{value!r} is not known", f"one of {', '.join(allowed)}")
    return value


def _mistake(name: str, wrong: str, right: str) -> InvalidInput:
    return InvalidInput([Mistake("environment", 1, name, wrong, right)])
