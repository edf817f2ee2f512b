"""Make the secrets of docker-compose.yml, once: `python -m deploy.compose_secrets .secrets`.

Always: every secret that the compose file asks for, from the operating system's generator, in a folder that is made
whole or not at all; what is there stays, since data is sealed with it. Must not know: who uses them.
"""

from __future__ import annotations

import base64
import secrets
import sys
import tempfile
from pathlib import Path


def values() -> dict[str, str]:
    return {
        "kafka_password": secrets.token_hex(24),
        "postgres_password": secrets.token_hex(24),
        "s3_key": secrets.token_hex(10),
        "s3_secret": secrets.token_hex(24),
        "master_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def make(folder: Path) -> None:
    """The folder keeps others on this machine out; users in containers have other numbers and see the files alone."""
    if folder.exists():
        sys.exit(f"{folder} exists; what it holds is in use, or was: to begin anew remove it with the stack's volumes")
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))  # mode 700
    for name, value in values().items():
        (fresh / name).write_text(value)
        (fresh / name).chmod(0o444)
    fresh.rename(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
