"""What is printed for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from control_api.cli.output import moment, show, table


def printed(width: int, headings: Sequence[str], rows: Sequence[Sequence[Any]], grouped: bool = True) -> str:
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(table(headings, rows, grouped))
    return capture.get()


def test_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "columns: [trim, lower]  [bold]no[/bold] :smile: https://x [/]"
    show(text)
    show(table(("[a]",), [(text,)]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == [text, "[a]", text]


def test_what_is_typed_again_stays_in_one_piece_in_a_narrow_terminal() -> None:
    letter = "people-uju7cxzg/person/lane/0/0/r0"
    told = printed(60, ("id", "reason"), [(letter, "is not an int64 " * 5)])
    assert letter in told
    assert max(map(len, told.splitlines())) <= 60


def test_numbers_of_records_are_not_grouped() -> None:
    assert "-8,980,653" in printed(80, ("count",), [(-8980653,)])
    assert "-8980653" in printed(80, ("_id",), [(-8980653,)], grouped=False)


def test_moments_are_told_to_the_second() -> None:
    assert moment("2026-11-21T04:46:10.138040+02:00") == "2026-11-21 02:46:10Z"
    assert moment(None) is None
