"""How much memory PostgreSQL is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.stack.postgres import buffers, memory

GIB = 1 << 30


@pytest.mark.parametrize(
    ("held", "given"),
    [
        (GIB // 2, "128MB"),
        (2 * GIB, "128MB"),
        (4 * GIB, "256MB"),
        (8 * GIB, "512MB"),
        (12 * GIB, "768MB"),
        (16 * GIB, "1024MB"),
        (64 * GIB, "1024MB"),
    ],
)
def test_buffers_follow_the_memory(held: int, given: str) -> None:
    assert buffers(held) == given


def test_a_container_has_what_it_is_allowed(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = tmp_path / "memory.max"
    assert memory(limit) == machine
    limit.write_text("max\n")
    assert memory(limit) == machine
    limit.write_text(f"{GIB // 4}\n")
    assert memory(limit) == GIB // 4
    limit.write_text(f"{2 * machine}\n")
    assert memory(limit) == machine
