"""metal bench: the benchmarks behind every figure in the docs. They stand beside the code in a checkout."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from control_api.cli.output import AsJson, answer, note
from schemas.errors import InvalidInput, Mistake, NotFound

CHECKOUT: Final = Path(__file__).resolve().parents[3]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("bench")(bench)


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Which benchmarks; all unless named.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Measure so often and tell the median.")] = 3,
    scale: Annotated[str, typer.Option(help="full; small or tiny are to see that all of them work.")] = "full",
    data: Annotated[Path | None, typer.Option(help="Where generated data stays; a temporary folder otherwise.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=NUMBER", help="Change a parameter, such as records=1000.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write to this file, after every benchmark.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only say which benchmarks there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the benchmarks and print their figures as JSON.

    They use a stack of their own unless METAL_HOME names one.
    """
    del as_json  # it is JSON either way
    _importable()
    import tempfile

    from benchmarks import running

    if list_:
        answer({"benchmarks": running.about()})
        return
    if scale not in running.SCALES:
        right = f"one of {', '.join(running.SCALES)}"
        raise InvalidInput([Mistake("command line", 1, "--scale", f"{scale!r} is none", right)])
    folder = (data or Path(tempfile.gettempdir()) / "metal-bench").expanduser().resolve()
    asked = running.Asked(names or [], runs, scale, folder, parse(change or []))
    running.check_changed(asked)
    documents = []
    for document in running.measured(asked, note):
        documents.append(document)
        if output is not None:
            running.write(output, documents)
    answer({"benchmarks": documents})


def parse(changes: list[str]) -> dict[str, float]:
    """`records=1000` as a name and a number."""
    found, mistakes = {}, []
    for text in changes:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            mistakes.append(Mistake("command line", 1, text, "not understood", "NAME=NUMBER, for example records=1000"))
    if mistakes:
        raise InvalidInput(mistakes)
    return found


def _importable() -> None:
    if not (CHECKOUT / "benchmarks" / "running.py").exists():
        raise NotFound(
            "the benchmarks are not installed with metal: clone the project and run 'metal bench' from there"
        )
    if find_spec("benchmarks") is None or str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
