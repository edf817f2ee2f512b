"""metal audit: who did what, and whether the log is still what was written."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

import typer

from control_api.cli.output import AsJson, answer, moment, note, show, table

_EVERY = 1.0


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Look up who did what, and check that the log is intact.", no_args_is_help=True)
    for command in (tail, search, verify):
        group.command(command.__name__)(command)
    app.add_typer(group, name="audit")


def tail(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="At most so many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, the last one at the end."""
    from control_api.cli.client import Client

    if follow and as_json:
        raise typer.BadParameter("--follow has no end, so there is no one JSON document of it")
    with Client() as client:
        found = list(reversed(client.get("/audit", limit=limit)["items"]))
        _show(found, as_json)
        last = found[-1]["seq"] if found else 0
        while follow:
            time.sleep(_EVERY)
            for entry in client.get("/audit", after=last, limit=500)["items"]:
                last = entry["seq"]
                show(_line(entry))


def search(
    actor: Annotated[str | None, typer.Option("--actor", help="Who did it.")] = None,
    action: Annotated[
        str | None,
        typer.Option("--action", help="What was done, such as run.started, or how that begins, such as run."),
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="A run, or TASK/VERSION.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", help="Not before; local time.")] = None,
    until: Annotated[datetime | None, typer.Option("--until", help="Not after; local time.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the entries that fit every option given, the newest first."""
    from control_api.cli.client import Client

    begin, end = (None if at is None else at.astimezone().isoformat() for at in (since, until))
    with Client() as client:
        query = {"actor": actor, "action": action, "subject": subject, "since": begin, "until": end}
        _show(list(client.pages("/audit", limit, **query)), as_json)


def verify(
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="SEQ:HASH", help="An entry noted down earlier that must still be there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed or removed.

    Exit code 1 if one was.
    """
    from control_api.cli.client import Client

    seq, digest = _head(head)
    with Client() as client:
        found = client.get("/audit/verify", seq=seq, hash=digest)
    if as_json:
        answer(found)
    elif found["ok"]:
        show(f"intact: {found['head']['seq']} entries; head {found['head']['seq']}:{found['head']['hash']}")
    if not found["ok"]:
        note(f"metal: the audit log is broken at entry {found['broken']['seq']}: {found['broken']['why']}")
        raise typer.Exit(1)


def _head(text: str | None) -> tuple[int | None, str | None]:
    if text is None:
        return None, None
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or len(digest) != 64:
        raise typer.BadParameter("--head is SEQ:HASH, as verify shows it")
    return int(seq), digest


def _show(entries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        answer({"entries": entries})
        return
    rows = [
        (one["seq"], moment(one["at"]), one["actor"], one["action"], one["subject"], one["detail"]) for one in entries
    ]
    show(table(("entry", "at", "actor", "action", "subject", "detail"), rows))


def _line(entry: dict[str, Any]) -> str:
    return f"{entry['seq']}  {moment(entry['at'])}  {entry['actor']}  {entry['action']}  {entry['subject']}"
