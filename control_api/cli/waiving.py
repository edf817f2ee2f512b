"""Options of commands that turn anonymization off, or show what a run without it prepared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from control_api.cli.output import moment, note
from schemas.errors import Denied, Fatal, InvalidInput, Mistake
from schemas.waiver import HOURS, MOST_HOURS

_PERMIT: Final = re.compile(r"metal-permit-[\w-]{20,160}")

Off = Annotated[
    bool,
    typer.Option(
        "--without-anonymization",
        help="Leave the methods out of this run alone; takes a permit and a reason, is audited and certified.",
    ),
]
OffTables = Annotated[
    list[str] | None,
    typer.Option("--table", "-t", metavar="T", help="Only of this table; may be repeated. Else of every one."),
]
Why = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; noted in the audit log and in certificates.")
]
Keep = Annotated[
    float | None,
    typer.Option(
        "--keep",
        metavar="HOURS",
        min=0.001,
        max=MOST_HOURS,
        help=f"Then stop the run and delete its rows.  [default: {HOURS:g}]",
    ),
]
PermitFile = Annotated[
    Path | None,
    typer.Option("--permit", metavar="FILE", envvar="METAL_PERMIT", help="A permit, of mode 600."),
]


def asked(off: bool, tables: list[str] | None, reason: str | None, keep: float | None) -> dict[str, Any] | None:
    """What a start says of it; None where anonymization stays on."""
    if not off:
        given = {"--table": tables, "--reason": reason, "--keep": keep}
        for name, value in given.items():
            if value:
                raise typer.BadParameter(f"{name} goes with --without-anonymization; leave it out, or give both")
        return None
    if not (reason or "").strip():
        raise typer.BadParameter("--without-anonymization takes a reason: --reason TEXT")
    return {"tables": tables or [], "reason": reason, "hours": HOURS if keep is None else keep}


def read_permit(file: Path | None) -> str | None:
    """The secret of a permit. What is no permit is sent to nobody."""
    from deploy.stack.credentials import private

    if file is None:
        return None
    try:
        private(file)
        text = file.read_text(encoding="utf-8").strip()
    except Fatal as error:
        raise Denied(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise _wrong(file, f"can't be read: {why}") from error
    if not _PERMIT.fullmatch(text):
        raise _wrong(file, "is no permit")
    return text


def tell(run: dict[str, Any], table: str | None = None) -> None:
    """A warning on stderr where anonymization of a run, or of this table of it, is off."""
    waiver = run["without_anonymization"]
    if waiver is None or (table is not None and table not in waiver["tables"]):
        return
    names = table or ", ".join(waiver["tables"])
    note(
        f"WARNING: run {run['run']} does not anonymize {names}: turned off by {waiver['by']}, permit of "
        f"{waiver['permit']}: {waiver['reason']}; its rows are deleted at {moment(waiver['until'])}"
    )


def _wrong(file: Path, what: str) -> InvalidInput:
    return InvalidInput([Mistake(str(file), 1, "(file)", what, "name the file that 'metal permit give' wrote")])
