"""No escape sequence where none is wanted: with NO_COLOR, and wherever it is not a terminal that reads."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
import typer

from control_api.cli.main import make_app
from control_api.cli.main import run as metal
from control_api.cli.output import plain, show, table

ESCAPE = "\x1b"
LINES = [["--help"], ["task"], ["task", "pause", "--help"], ["frob"], ["task", "frob"], ["run", "none.yaml"], ["run"]]


def on_a_terminal(arguments: list[str], **more: str) -> str:
    """All that a command says on a terminal, on both streams."""
    program = "import sys; from control_api.cli.main import run; from control_api.cli.output import show, table\n"
    program += "show(table(('a', 'b'), [(1, 'x')])); sys.exit(run(sys.argv[1:]))"
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color"} | more,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so that the other end is closed
            piece = b""
        if not piece:
            break
        said += piece
    os.close(ours)
    child.wait()
    return said.decode()


@pytest.mark.parametrize("arguments", [["--help"], ["task", "frob"]], ids=" ".join)
def test_none_on_a_terminal_with_no_color(arguments: list[str]) -> None:
    said = on_a_terminal(arguments, NO_COLOR="1", FORCE_COLOR="1")
    assert "metal" in said
    assert ESCAPE not in said


def test_a_terminal_without_it_has_colours() -> None:
    assert ESCAPE in on_a_terminal(["--help"])


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_none_where_it_is_no_terminal(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    metal(arguments)
    show(table(("a", "b"), [(1, "x")]))
    said = capsys.readouterr()
    assert said.out + said.err
    assert ESCAPE not in said.out + said.err


def test_a_group_alone_says_its_help_and_no_empty_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert metal(["task"]) == 2
    said = capsys.readouterr()
    assert "pause" in said.out + said.err
    assert said.err.startswith("metal: name a command\n")


def test_plain_is_what_is_no_terminal_or_has_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert plain(io.StringIO())
    assert not plain(Terminal())
    monkeypatch.setenv("NO_COLOR", "")  # says nothing, by its own standard
    assert not plain(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert plain(Terminal())


def test_every_command_and_every_parameter_says_what_it_is() -> None:
    found = []

    def walk(command: object, path: str) -> None:
        found.extend([path] if not getattr(command, "help", None) else [])
        for one in getattr(command, "params", []):
            if not getattr(one, "help", None):
                found.append(f"{path} {one.name}")
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(typer.main.get_command(make_app()), "metal")
    assert not found


def test_a_list_of_commands_cuts_nothing_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for group in ([], *_groups(typer.main.get_command(make_app()))):
        metal([*group, "--help"])
        assert "..." not in capsys.readouterr().out.split("Commands:")[1], group


def _groups(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = {name: one for name, one in getattr(command, "commands", {}).items() if getattr(one, "commands", None)}
    return [found for name, one in inner.items() for found in ((*path, name), *_groups(one, (*path, name)))]
