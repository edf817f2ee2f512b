"""Ends the process where going on could lose something: the one way in which a worker gives up."""

from __future__ import annotations

import os
from typing import NoReturn

import structlog

log = structlog.get_logger()


def end_process(reason: str, error: BaseException | None = None) -> NoReturn:
    """Nothing is lost: what was not acknowledged is read again by whoever comes next."""
    log.critical(reason, exc_info=error)
    os._exit(70)
