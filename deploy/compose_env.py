"""Print secrets for docker-compose.yml, new at every call: `umask 077; python -m deploy.compose_env > .env`.

Always: every secret that the compose file asks for, from the operating system's generator.
Must not know: who uses them.
"""

from __future__ import annotations

import base64
import secrets
import sys


def variables() -> dict[str, str]:
    return {
        "METAL_KAFKA_PASSWORD": secrets.token_hex(24),
        "METAL_POSTGRES_PASSWORD": secrets.token_hex(24),
        "METAL_S3_KEY": secrets.token_hex(10),
        "METAL_S3_SECRET": secrets.token_hex(24),
        "METAL_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in variables().items()))
