"""What a window fetches again, and that what it shows does not depend on that."""

from __future__ import annotations

import pytest

from connectors.sources.formats.window import Window

CONTENT = bytes(range(100))


class Counted:
    label = "x"

    def __init__(self, at_hand: bool) -> None:
        self.at_hand = at_hand
        self.asked: list[tuple[int, int]] = []

    def read(self, offset: int, size: int) -> bytes:
        self.asked.append((offset, size))
        return CONTENT[offset : offset + min(size, 30)]  # an input may give less than it is asked for

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("at_hand", [False, True])
def test_shows_the_content_wherever_it_was_before(at_hand: bool) -> None:
    window = Window(Counted(at_hand))
    for offset, size in [(0, 20), (15, 20), (15, 60), (15, 10), (80, 40), (0, 200), (100, 5), (99, 1)]:
        assert window.at(offset, size) == CONTENT[offset : offset + size]


def test_what_costs_a_request_is_not_fetched_twice() -> None:
    source = Counted(at_hand=False)
    window = Window(source)
    window.at(0, 20)
    window.at(15, 20)
    assert source.asked == [(0, 20), (20, 15)]
