"""Stands in for one of our services: `python fake_service.py [--delay S] [--crash | --crash-second] SERVICE`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    ready_at = 0.0

    def do_GET(self) -> None:
        ready = time.monotonic() >= self.ready_at
        body = json.dumps({name: value for name, value in os.environ.items() if name.startswith("METAL_")}).encode()
        self.send_response(200 if self.path != "/ready" or ready else 503)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--crash", action="store_true")
    parser.add_argument("--crash-second", action="store_true")
    parser.add_argument("service")
    given = parser.parse_args()
    been_here = Path(os.environ["METAL_HOME"], "run", f"{given.service}.been")
    if given.crash or (given.crash_second and been_here.exists()):
        sys.exit(f"{given.service}: a planted failure")
    been_here.touch()
    Handler.ready_at = time.monotonic() + given.delay
    HTTPServer(("127.0.0.1", int(os.environ["METAL_PORT"])), Handler).serve_forever()
