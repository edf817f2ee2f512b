"""The bearer token of the control API: from METAL_API_TOKEN, else a file of mode 600 in the home."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from deploy.stack.credentials import private
from deploy.stack.layout import Layout, explained, locked, write_atomic

NAME: Final = "api.token"


def read_token(home: Path | None = None) -> str | None:
    """The token, or None where the API has never run."""
    given = os.environ.get("METAL_API_TOKEN")
    if given:
        return given
    path = Layout.of(home).root / NAME
    with explained(path):
        if not path.exists():
            return None
        private(path)
        return path.read_text().strip()


def ensure_token(home: Path | None = None) -> str:
    """The token, made at the first call."""
    found = read_token(home)
    if found:
        return found
    layout = Layout.of(home).create()
    with explained(layout.root), locked(layout.run / "token.lock"):
        found = read_token(home)  # another process may have been faster
        if not found:
            found = secrets.token_urlsafe(32)
            write_atomic(layout.root / NAME, found + "\n")
    return found
