"""Prepare one server and become it: `python -m deploy.stack.launch kafka|postgres|s3 --home H`.

Always: the process that prepares is the process that serves, so whoever ends it ends either; what can't be put
right by trying again ends with EXIT_FATAL and one sentence. Must not know: who watches it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.stack import jars, kafka, objects, postgres
from deploy.stack.credentials import credentials
from deploy.stack.layout import Layout, explained, write_json
from schemas.errors import Fatal, MetalError

EXIT_FATAL = 78
EXIT_AGAIN = 75


def command(name: str, layout: Layout, ports: list[int]) -> list[str]:
    """Everything the server needs before it starts, then its command."""
    secret = credentials(layout)
    if name == "postgres":
        return postgres.prepare(layout, secret, ports[0])
    fetched = jars.fetch(jars.listed(name), progress(layout, name))
    if name == "kafka":
        return kafka.prepare(layout, secret, fetched, ports[0], ports[1])
    return objects.prepare(layout, secret, fetched, ports[0])


def progress(layout: Layout, name: str) -> Callable[[int, int], None]:
    """Tell those who wait how far the download is."""
    told = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= 0.5:
            told = now
            write_json(layout.run / f"{name}.fetch.json", {"done": done, "total": total})

    return tell


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["kafka", "postgres", "s3"])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, action="append", required=True)
    given = parser.parse_args()
    layout = Layout.of(given.home)
    os.umask(0o077)  # whatever the server creates is the home's own
    try:
        with explained(layout.root):
            argv = command(given.name, layout, given.port)
    except MetalError as error:
        sys.stderr.write(f"{given.name}: {error}\n")
        sys.exit(EXIT_FATAL if isinstance(error, Fatal) else EXIT_AGAIN)
    os.execv(argv[0], argv)  # noqa: S606 - a fixed command, no shell


if __name__ == "__main__":
    main()
