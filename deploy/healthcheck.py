"""Ask the service in this container whether it is well: `python -m deploy.healthcheck /healthz|/ready`.

Always: exit code 0 means that it answered 200 within three seconds. Must not know: which service it is.
"""

from __future__ import annotations

import http.client
import os
import sys


def answer(port: int, path: str) -> int:
    """The HTTP status of a path of this container's service."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def main() -> None:
    path = sys.argv[1]
    try:
        found = answer(int(os.environ["METAL_PORT"]), path)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{path}: {error}")
    if found != http.client.OK:
        sys.exit(f"{path} answers {found}")


if __name__ == "__main__":
    main()
