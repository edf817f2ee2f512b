"""/healthz, /ready and /metrics of a service that has no web server of its own: a thread beside its work."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.errors import Fatal

log = structlog.get_logger()

Ready = Callable[[], tuple[bool, str]]


class Server:
    """Answers until it is closed."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="observe", args=(0.2,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int, ready: Ready, registry: CollectorRegistry) -> Server:
    """`ready` says whether the service can work, and if not, why; port 0 takes a free one."""
    bind = os.environ.get("METAL_BIND", "127.0.0.1")
    try:
        server = ThreadingHTTPServer((bind, port), _handler(ready, registry))
    except OSError as error:
        raise Fatal(f"port {port} can't be listened on: {error.strerror}; set METAL_PORT to a free one") from error
    server.daemon_threads = True
    return Server(server)


def _handler(ready: Ready, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "metal"
        sys_version = ""
        timeout = 10  # of a client that says nothing

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                self._say(200, _json({"state": "ok"}), "application/json")
            elif path == "/ready":
                can, why = _asked(ready)
                self._say(200 if can else 503, _json({"ready": can, "why": why}), "application/json")
            elif path == "/metrics":
                self._say(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            else:
                self._say(404, _json({"detail": "there are /healthz, /ready and /metrics"}), "application/json")

        def _say(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            log.debug("asked", line=format % args)

    return Handler


def _asked(ready: Ready) -> tuple[bool, str]:
    try:
        return ready()
    except Exception as error:
        log.error("the readiness check itself failed", exc_info=error)
        return False, f"the check failed: {type(error).__name__}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
