"""A review writer as a process of its own, as it runs in earnest."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

from deploy.stack import Endpoints
from tests.connectors.review.conftest import MASTER

SESSION = 2.0


def url_of(stack: Endpoints, database: str) -> str:
    return urlunsplit(urlsplit(stack.postgres.url)._replace(path=f"/{database}"))


@dataclass
class Writers:
    """Starts review writers on one database and ends those that are left."""

    stack: Endpoints
    url: str
    logs: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, failpoints: str = "", port: int = 0, **more: str) -> subprocess.Popen[bytes]:
        kafka = self.stack.kafka
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("METAL_")},
            "METAL_HOME": str(self.logs / "home"),
            "METAL_KAFKA": kafka.bootstrap,
            "METAL_KAFKA_SECURITY_PROTOCOL": kafka.security_protocol,
            "METAL_KAFKA_USERNAME": kafka.username or "",
            "METAL_KAFKA_PASSWORD": kafka.password or "",
            "METAL_POSTGRES": self.url,
            "METAL_MASTER_KEY": base64.b64encode(MASTER).decode(),
            "METAL_FAILPOINTS": failpoints,
            "METAL_SESSION_SECONDS": str(SESSION),
            "METAL_PORT": str(port),
            **more,
        }
        with (self.logs / f"review-{len(self.running)}.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "connectors.review.service"], env=environment, stderr=log)
        self.running.append(process)
        return process

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.logs.glob("review-*.log")))


def wait_for(what: Callable[[], Any], seconds: float = 40, said: Callable[[], str] = lambda: "") -> Any:
    until = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, said()[-4000:]
        time.sleep(0.05)


def asked(port: int, path: str) -> tuple[int, str]:
    from urllib.error import HTTPError, URLError

    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except (URLError, OSError):
        return 0, ""
