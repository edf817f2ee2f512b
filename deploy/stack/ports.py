"""Free ports on the loopback address, the same ones again where that is possible.

Always: ports lie below the range that the kernel gives to outgoing connections, so none of those takes one between
two starts. Must not know: who listens.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from schemas.errors import Retriable

LOOPBACK = "127.0.0.1"
RANGE = range(20_000, 32_000)


def free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen(1)
        except OSError:
            return False
    return True


def pick(taken: Collection[int] = ()) -> int:
    """A port that is free and not promised to somebody else."""
    for port in random.Random().sample(RANGE, 400):  # noqa: S311 - spreads homes apart, hides nothing
        if port not in taken and free(port):
            return port
    raise Retriable(f"no free port between {RANGE.start} and {RANGE.stop} on {LOOPBACK}; end what listens there")


def answers(port: int, timeout: float = 0.5) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((LOOPBACK, port), timeout).close()
    except OSError:
        return False
    return True
