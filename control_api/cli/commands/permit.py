"""metal permit: who may turn anonymization off. Works on the control store itself, with its own credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from control_api.cli.output import AsJson, answer, moment, note, show, table

if TYPE_CHECKING:
    from control_api.store.db import Connection

Holder = Annotated[str, typer.Argument(metavar="HOLDER", help="Who holds it; told in the audit log and certificates.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Say who may turn anonymization off; takes the control store.", no_args_is_help=True)
    for command in (give, list_, revoke):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="permit")


def give(
    holder: Holder,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="A new file, of mode 600.")],
    days: Annotated[float, typer.Option("--days", min=0.001, max=3650, help="It counts for so long.")] = 90.0,
    as_json: AsJson = False,
) -> None:
    """Give somebody a permit to turn anonymization off.

    It is in the file alone: hand that over. The holder names it with --permit or METAL_PERMIT.
    """
    from control_api.actions import permissions
    from control_api.cli.client import me

    def keep(secret: str) -> None:
        try:
            with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secret + "\n")
        except OSError as error:
            raise typer.BadParameter(f"{output}: {error.strerror}; name a new file where one can be made") from error

    with _store() as conn:
        permissions.give(conn, me(), holder, keep, days)
    if as_json:
        answer({"holder": holder, "permission": "anonymization.off", "output": str(output), "days": days})
    else:
        note(f"{output}: a permit for {holder}, for {days:g} days")


def list_(as_json: AsJson = False) -> None:
    """List the permits, the newest first; not their secrets."""
    from control_api.store.permits import list_permits

    with _store() as conn:
        found = list_permits(conn)
    told = [
        {
            "holder": one.holder,
            "permission": one.permission,
            "given_at": one.created_at.isoformat(),
            "given_by": one.created_by,
            "until": one.until.isoformat(),
            "state": "revoked" if one.revoked_at else "counts" if one.young else "over",
        }
        for one in found
    ]
    if as_json:
        answer({"permits": told})
        return
    rows = [
        (one["holder"], one["permission"], one["state"], one["given_by"], moment(one["given_at"]), moment(one["until"]))
        for one in told
    ]
    show(table(("holder", "permission", "state", "given by", "given", "until"), rows))


def revoke(holder: Holder, as_json: AsJson = False) -> None:
    """Take every permit of somebody back, at once."""
    from control_api.actions import permissions
    from control_api.cli.client import me

    with _store() as conn:
        gone = permissions.revoke(conn, me(), holder)
    if as_json:
        answer({"holder": holder, "revoked": gone})
    else:
        show(f"{holder}: {gone} revoked")


@contextmanager
def _store() -> Iterator[Connection]:
    from control_api.store.db import connect, migrate
    from deploy.stack.endpoints import endpoints

    url = endpoints().postgres.url
    migrate(url)
    with connect(url) as conn:
        yield conn
