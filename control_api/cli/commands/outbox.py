"""metal outbox: what a run has prepared."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from control_api.cli.output import AsJson, answer, note, show, table
from control_api.cli.waiving import PermitFile

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its name, as 'metal task runs' lists it.")]
TableName = Annotated[
    str, typer.Option("--table", "-t", metavar="T", help="A table of the run, as 'metal outbox list' shows it.")
]
Provenance = Annotated[bool, typer.Option("--provenance", help="Also where records come from and what changed them.")]


class Form(StrEnum):
    """How an export is written."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    avro = "avro"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="List, show and export what runs have prepared for review.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show_)
    group.command("export")(export)
    group.command("check")(check)
    group.command("releases")(releases)
    app.add_typer(group, name="outbox")


def list_(run: RunName, as_json: AsJson = False) -> None:
    """List the tables of a run and how many records each has."""
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "outbox list"):
        found = client.get(f"/runs/{run}/outbox")
    if as_json:
        answer(found)
        return
    rows = [
        (one["table"], one["records"], ", ".join(f"{n} {k}" for n, k in one["columns"].items()))
        for one in found["tables"]
    ]
    show(table(("table", "records", "columns"), rows))


def show_(
    run: RunName,
    name: TableName,
    identity: Annotated[
        int | None, typer.Option("--id", metavar="ID", help="Only this record (its _id), with its provenance.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    provenance: Provenance = False,
    permit: PermitFile = None,
    as_json: AsJson = False,
) -> None:
    """Show prepared records of a table, or one of them."""
    from control_api.cli import waiving
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    path = f"/runs/{run}/outbox/{name}"
    with Client(permit=waiving.read_permit(permit)) as client, of_run(client, run, "outbox show"):
        waiving.tell(client.get(f"/runs/{run}"), name)
        if identity is None:
            found = list(client.pages(path, limit, provenance=provenance))
        else:
            found = [client.get(f"{path}/records/{identity}")]
    if as_json:
        answer({"run": run, "table": name, "records": found} if identity is None else found[0])
    elif found:
        show(table(tuple(found[0]), [tuple(record.values()) for record in found], grouped=False))


def export(
    run: RunName,
    name: TableName,
    form: Annotated[Form, typer.Option("--format", help="How the file is written.")] = Form.jsonl,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; else stdout.")] = None,
    provenance: Provenance = False,
    permit: PermitFile = None,
    as_json: AsJson = False,
) -> None:
    """Write all prepared records of a table as a file.

    With --output the file appears whole or not at all. Of a table that promises groups, or of totals, it is a
    release: refused where comparing it with an earlier one would tell on someone, as 'metal outbox check' says.
    """
    from control_api.cli import waiving
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    if output is None and as_json:
        raise typer.BadParameter("--json tells about the file that --output names; without it stdout is the file")
    with Client(permit=waiving.read_permit(permit)) as client, of_run(client, run, "outbox export"):
        waiving.tell(client.get(f"/runs/{run}"), name)
        pieces = client.download(f"/runs/{run}/outbox/{name}/export", format=form.value, provenance=provenance)
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        size = _save(output, pieces)
    if as_json:
        answer({"run": run, "table": name, "format": form.value, "output": str(output), "bytes": size})
    else:
        note(f"{output}: {size:,} bytes")


def check(run: RunName, name: TableName, provenance: Provenance = False, as_json: AsJson = False) -> None:
    """Check whether a table may leave, next to all that left before.

    Two versions compared must not tell groups of fewer than k, or their values. Exit code 1 if they would.
    """
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "outbox check"):
        found = client.get(f"/runs/{run}/outbox/{name}/check", long=True, provenance=provenance)
    if as_json:
        answer(found)
    elif not found["guaranteed"]:
        show(f"{name} promises no groups: nothing to compare")
    elif found.get("released"):
        show(f"{name}: exactly this was exported before")
    elif not found["against"]:
        show(f"{name}: nothing was exported before")
    else:
        rows = [
            (one["run"], one["table"], one["at"][:19], "safe" if one["safe"] else _told(one["found"]))
            for one in found["against"]
        ]
        show(table(("exported of run", "table", "at", "compared with it"), rows))
    if not found["safe"]:
        raise typer.Exit(1)


def releases(run: RunName, as_json: AsJson = False) -> None:
    """List the exports of a task's tables that are compared."""
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "outbox releases"):
        found = client.get(f"/runs/{run}/releases")
    if as_json:
        answer(found)
        return
    rows = [(one["table"], one["run"], one["rows"], one["at"][:19], one["actor"]) for one in found["releases"]]
    show(table(("table", "run", "records", "at", "by"), rows))


def _told(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in found.items())


def _save(output: Path, pieces: Any) -> int:
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            size = file.tell()
        part.replace(output)
    except OSError as error:
        right = "name a file in a directory that can be written to"
        raise typer.BadParameter(f"{output}: {error.strerror}; {right}") from error
    finally:
        part.unlink(missing_ok=True)
    return size
