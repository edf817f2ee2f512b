"""metal deadletter: records that could not be processed, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from control_api.cli.output import AsJson, answer, moment, note, show, table
from schemas.errors import InvalidInput, Mistake

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its name, as 'metal task runs' lists it.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As 'metal deadletter list' shows them; or --all.")]
OfTable = Annotated[str | None, typer.Option("--table", "-t", metavar="T", help="Only those of this table.")]
OfRule = Annotated[str | None, typer.Option("--rule", metavar="RULE", help="Only those that this rule rejected.")]
All = Annotated[bool, typer.Option("--all", help="Every open one; with --table or --rule only theirs.")]

LETTER = "_letter"  # in a file of corrected records: which letter the record corrects


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(
        help="Look at, replay or discard records that weren't processed.",
        no_args_is_help=True,
    )
    group.command("list")(list_)
    group.command("show")(show_)
    group.command("replay")(replay)
    group.command("discard")(discard)
    app.add_typer(group, name="deadletter")


def list_(
    run: RunName,
    of_table: OfTable = None,
    rule: OfRule = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only those that are open, replayed or discarded.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List a run's dead letters: which records, why, where they stood."""
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "deadletter list"):
        path = f"/runs/{run}/deadletters"
        counts = client.get(path, limit=1)["counts"]
        found = list(client.pages(path, limit, table=of_table, rule=rule, state=state))
    if as_json:
        answer({"run": run, "counts": counts, "letters": found})
        return
    rows = [
        (one["id"], one["table"], f"{one['stage']}/{one['rule']}", _why(one), _where(one), one["state"])
        for one in found
    ]
    show(table(("id", "table", "stage/rule", "reason", "where", "state"), rows))
    note(", ".join(f"{n} {name}" for name, n in counts.items()))


def show_(
    run: RunName,
    letter: Annotated[str, typer.Argument(metavar="ID", help="As 'metal deadletter list' shows it.")],
    reveal: Annotated[bool, typer.Option("--raw/--no-raw", help="With the record itself, or without.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter and its raw record.

    Looking at a raw record is noted in the audit log.
    """
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, "deadletter show"):
        found = client.get(f"/runs/{run}/deadletters/{letter}", reveal=reveal)
    if as_json:
        answer(found)
    else:
        record = found.pop("record", {})
        shown = found | {"position": _where(found), "at": moment(found["at"])}
        show(table(("letter", ""), list(shown.items())))
        if reveal:
            show("")
            show(table(("column", "value"), list(record.items()), grouped=False))


def replay(
    run: RunName,
    ids: Ids = None,
    all_: All = False,
    of_table: OfTable = None,
    rule: OfRule = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="COLUMN=VALUE", help="Set a column in each record; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE.jsonl", help=f"Whole corrected records, each with its ID as {LETTER}."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send records through every stage again, corrected or not.

    Name them by ID, or say --all; with --file they are named in the file.
    """
    body = _chosen(ids, all_, of_table, rule) | {"set": _set(changes or [])}
    if file is not None:
        body["records"] = _records(file)
    _act(run, "replay", body, as_json)


def discard(
    run: RunName,
    ids: Ids = None,
    all_: All = False,
    of_table: OfTable = None,
    rule: OfRule = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up for good.

    A prepared run without an open one ends.
    """
    _act(run, "discard", _chosen(ids, all_, of_table, rule), as_json)


def _act(run: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, f"deadletter {verb}"):
        found = client.post(f"/runs/{run}/deadletters/{verb}", body)
    if as_json:
        answer(found)
    else:
        done = "replayed" if verb == "replay" else "discarded"
        show(f"{found[done]} {done}")


def _chosen(ids: list[str] | None, all_: bool, of_table: str | None, rule: str | None) -> dict[str, Any]:
    return {"letters": ids or None, "all": all_, "table": of_table, "rule": rule}


def _why(letter: dict[str, Any]) -> str:
    return " ".join(filter(None, (letter["column"], letter["reason"])))


def _where(letter: dict[str, Any]) -> str:
    """The split without what the source's name says already."""
    position = dict(letter["position"])
    place = f"{letter['table']}/{position.get('source')}/"
    position["split"] = str(position.get("split") or "").removeprefix(place)
    return ":".join(str(position[name]) for name in ("source", "split", "line") if position.get(name) not in (None, ""))


def _set(changes: list[str]) -> dict[str, Any]:
    """`column=value`: a value that is JSON is taken as such, anything else as text; `null` empties."""
    found: dict[str, Any] = {}
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput([Mistake("command line", 1, "--set", f"{text!r} sets nothing", "write COLUMN=VALUE")])
        try:
            found[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            found[name] = value
    return found


def _records(file: Path) -> dict[str, dict[str, Any]]:
    """Every mistake of the file, not just the first; never a value of a record."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise InvalidInput([Mistake(str(file), 1, "", str(error.strerror), "name a file that can be read")]) from error
    found: dict[str, dict[str, Any]] = {}
    mistakes = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        if isinstance(record, dict) and isinstance(record.get(LETTER), str):
            found[record.pop(LETTER)] = record
        else:
            right = f'a JSON object a line, with the ID of its letter as "{LETTER}"'
            mistakes.append(Mistake(str(file), number, "", "is not a corrected record", right))
    if mistakes:
        raise InvalidInput(mistakes)
    return found
