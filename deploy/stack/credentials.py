"""Credentials of the embedded stack, and the master key that seals the run keys.

Always: made once by the operating system's generator, stored with mode 600, never printed.
Must not know: how a server is configured with them.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.stack.layout import Layout, explained, locked, read_json, write_atomic, write_json
from schemas.errors import Fatal

KEY_BYTES = 32
USER = "metal"


@dataclass(frozen=True)
class Credentials:
    """What the servers of one home ask for."""

    cluster_id: str
    kafka_password: str = field(repr=False)
    postgres_password: str = field(repr=False)
    s3_key: str = field(repr=False)
    s3_secret: str = field(repr=False)


def credentials(layout: Layout) -> Credentials:
    """Read the home's credentials, made at the first call."""
    path = layout.root / "credentials.json"
    with explained(layout.root), locked(layout.run / "credentials.lock"):
        stored = read_json(path)
        if stored is not None:
            private(path)
            return Credentials(**stored)
        made = Credentials(
            cluster_id=cluster_id(),
            kafka_password=secrets.token_hex(24),
            postgres_password=secrets.token_hex(24),
            s3_key=secrets.token_hex(10),
            s3_secret=secrets.token_hex(24),
        )
        write_json(path, asdict(made))
        write_atomic(layout.root / "pgpass", f"*:*:*:{USER}:{made.postgres_password}\n")
        return made


def cluster_id() -> str:
    """A Kafka cluster id; never with a leading dash, which Kafka's tool would take for an option."""
    first, *rest = secrets.token_bytes(16)
    return base64.urlsafe_b64encode(bytes([first & 0x7F, *rest])).decode().rstrip("=")


def ensure_master_key(home: Path | None = None) -> None:
    """Make the home's master key unless the environment or the home has one."""
    if os.environ.get("METAL_MASTER_KEY") or os.environ.get("METAL_MASTER_KEY_FILE"):
        master_key(home)
        return
    layout = Layout.of(home).create()
    path = layout.root / "master.key"
    with explained(layout.root), locked(layout.run / "credentials.lock"):
        if not path.exists():
            write_atomic(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
    master_key(home)


def master_key(home: Path | None = None) -> bytes:
    """The key, from METAL_MASTER_KEY, METAL_MASTER_KEY_FILE or the home, in this order."""
    text = os.environ.get("METAL_MASTER_KEY")
    if text:
        return _decode("METAL_MASTER_KEY", text)
    named = os.environ.get("METAL_MASTER_KEY_FILE")
    path = Path(named).expanduser() if named else Layout.of(home).root / "master.key"
    try:
        if not path.exists():
            raise Fatal(f"the master key {path} does not exist; 'metal up' makes one, or set METAL_MASTER_KEY_FILE")
        private(path)
        text = path.read_text()
    except PermissionError as error:
        raise Fatal(f"the master key {path} can't be read: {error.strerror}; it is for this process's user") from error
    return _decode(str(path), text)


def private(path: Path) -> None:
    """Refuse a secret that others can read; what an engine mounts read-only has the mode that the engine gives it."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o177 and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise Fatal(f"{path} has mode {mode:o}, so others can use it; make it 600: chmod 600 {path}")


def _decode(source: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise Fatal(f"{source} is not base64; it must be {KEY_BYTES} random bytes in base64") from error
    if len(key) != KEY_BYTES:
        raise Fatal(f"{source} holds {len(key)} bytes; it must be {KEY_BYTES} random bytes in base64")
    return key
