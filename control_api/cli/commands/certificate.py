"""metal certificate: what is certified of prepared tables, and whether published data is what was certified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_api.cli.failures import NOT_ANONYMIZED
from control_api.cli.output import AsJson, answer, moment, note, show

if TYPE_CHECKING:
    from control_api.cli.verifying import Verified

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its name, as 'metal task runs' lists it.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Certify prepared tables; check what is published.", no_args_is_help=True)
    for command in (show_, key, verify):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="certificate")


def show_(
    run: RunName,
    name: Annotated[
        str, typer.Option("--table", "-t", metavar="T", help="A table of the run, as 'metal outbox list' shows it.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; else stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the certificate of a prepared table.

    It is made if there is none yet. JSON-LD: methods, guarantees requested and reached, information loss, and a digest
    of the rows, signed.
    """
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "certificate show"):
        found = client.post(f"/runs/{run}/outbox/{name}/certificate")
    if found.get("anonymization") == "off":
        note(f"WARNING: {name} of run {run} is not anonymized, and the certificate says so")
    if output is None:
        answer(found)
        return
    _write(output, found)
    if as_json:
        answer({"run": run, "table": name, "output": str(output), "digest": found["release"]["digest"]["value"]})
    else:
        note(f"{output}: {found['release']['rows']:,} rows certified")


def key(as_json: AsJson = False) -> None:
    """Print the public key that certificates are signed with."""
    from control_api.cli.client import Client

    with Client() as client:
        found = client.get("/certificates/key")
    answer(found) if as_json else show(found["key"])


def verify(
    certificate: Annotated[Path, typer.Argument(metavar="CERT.json", help="A certificate.")],
    data: Annotated[
        list[Path], typer.Argument(metavar="DATA...", help="The published rows: .csv, .jsonl or .parquet files.")
    ],
    public: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="The key that must have signed it, or a file that holds it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate against the published rows alone.

    The signature, the digest, k, l, t and the loss are computed again. Nothing needs to run for this. Exit code 1 if
    anything differs, 5 if it certifies that anonymization was off. Without --key anyone could have signed it: then the
    key is told, to be compared.
    """
    from control_api.cli.verifying import verify_files

    found = verify_files(certificate, data, public)
    if as_json:
        answer(found.document())
    else:
        _tell_waiver(found)
        for mismatch in found.mismatches:
            note(f"{mismatch.kind}: {mismatch.message}")
        if public is None and found.signer is not None:
            note(f"signed with {found.signer}; --key checks that this is the key you expect")
        sound = "as certified: NOT ANONYMIZED" if found.off else "as certified"
        show(f"{certificate}: {sound if not found.mismatches else f'{len(found.mismatches)} found'}")
    if found.mismatches:
        raise typer.Exit(1)
    if found.off:
        raise typer.Exit(NOT_ANONYMIZED)


def _tell_waiver(found: Verified) -> None:
    if found.waiver is None:
        return
    names, told = ", ".join(found.waiver.tables), found.waiver
    who = f"by {told.by}, permit of {told.permit}, {moment(told.at)}: {told.reason}"
    if found.off:
        note(f"WARNING: these rows are not anonymized, and nothing is guaranteed. Anonymization was turned off {who}")
    else:
        note(f"warning: in the same run anonymization of {names} was turned off {who}")


def _write(output: Path, document: dict[str, Any]) -> None:
    import orjson

    try:
        output.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        right = "name a file in a directory that can be written to"
        raise typer.BadParameter(f"{output}: {error.strerror}; {right}") from error
