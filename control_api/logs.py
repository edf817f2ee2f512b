"""Logs of every service: one JSON object a line on stderr, or short lines on a terminal.

A field whose name says that it holds a secret, a key or a raw value is taken out, wherever it stands in the event;
passwords inside URLs are too. Nothing else may be relied on for that: what is logged must carry no raw value anyway.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET: Final = re.compile(
    r"(?i)(^|_)(key|keys|secret|secrets|password|passwd|pwd|token|credential|credentials|authorization|cookie|sealed|"
    r"record|row|raw|value|values)$"
)
_URL: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/@]*):[^\s/@]+@", re.IGNORECASE)
HIDDEN: Final = "(hidden)"
_OURS: Final = "metal"  # the level holds for what is logged below this name


def setup(service: str) -> None:
    """Called once by a process; `METAL_LOG` names the level."""
    level = logging.getLevelNamesMapping().get(os.environ.get("METAL_LOG", "INFO").upper(), logging.INFO)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _named(service=service, instance=os.environ.get("METAL_INSTANCE", "0")),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        strip_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_logger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    # what other libraries log goes the same way, so that a line is always JSON
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(_OURS).setLevel(level)


def _named(**fields: str) -> structlog.typing.Processor:
    """Says in every line, of whatever thread, who wrote it."""

    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(fields)
        return event

    return add


def _logger(*names: str) -> logging.Logger:
    return logging.getLogger(names[0] if names else _OURS)


def strip_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: takes out what must not be logged."""
    for name, value in event.items():
        event[name] = HIDDEN if _SECRET.search(name) else _cleaned(value)
    return event


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _URL.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, dict):
        return {name: HIDDEN if _SECRET.search(str(name)) else _cleaned(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(one) for one in value]
    return value


def _renderer() -> Any:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
    return structlog.processors.JSONRenderer()
