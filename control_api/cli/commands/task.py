"""metal task: look over, register, start and steer tasks and their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from control_api.cli.output import AsJson, answer, moment, note, show, table
from control_api.cli.waiving import Keep, Off, OffTables, PermitFile, Why
from schemas.run import State

STATES = get_args(State)
_LOOKED_AT = 100  # runs of a task, for those without anonymization

File = Annotated[Path, typer.Argument(metavar="TASK.yaml", help="A task file.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its name, as 'metal task runs' lists it.")]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="Its name, as 'metal task list' lists it.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="A version of it; else the newest.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; noted in the audit log.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Check task files; list tasks and runs; steer runs.", no_args_is_help=True)
    for command in (lint, preview, list_, show_, runs, start, pause, resume, finish, stop):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="task")


def lint(
    file: File,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Read its sources, too: can their records have the groups that it asks for?"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell every mistake in a task file.

    Nothing needs to run for this. Exit code 2 if there are mistakes.
    """
    from control_api.composition import components
    from schemas.task.load import lint as find

    mistakes = find(file, components())
    sound = all(mistake.severity != "error" for mistake in mistakes)
    if sources and sound:
        from control_api.cli.looking import look_at_sources

        mistakes += look_at_sources(file)
        sound = all(mistake.severity != "error" for mistake in mistakes)
    if as_json:
        answer({"ok": sound, "mistakes": [vars(mistake) for mistake in mistakes]})
    else:
        for mistake in mistakes:
            note(str(mistake))
        show(f"{file}: {'no mistakes' if not mistakes else f'{len(mistakes)} found'}")
    if not sound:
        raise typer.Exit(2)


def preview(
    file: File,
    name: Annotated[str, typer.Option("--table", "-t", metavar="T", help="A table of the task.")],
    k: Annotated[
        list[int] | None,
        typer.Option("--k", min=2, help="A size of groups to try; may be repeated. Else 2, 3, 5, 10, 20, 50, 100."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="COLUMN", help="A quasi-identifier, in the place of the task's; may be repeated."),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, metavar="N", help="Look at so many records.")] = 100_000,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE", help="Records from a .csv, .jsonl or .parquet file, not the sources."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The curve as a drawing (.svg) or as data (.json).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what groups of k records would cost, for several k.

    Risk and utility of a sample, grouped as a run would group it. Nothing needs to run for this, and nothing is stored.
    """
    from control_api.cli.previewing import KS, about, preview_table, save, told

    if output is not None and output.suffix not in (".svg", ".json"):
        raise typer.BadParameter(f"{output}: name a file that ends in .svg or .json")
    found = preview_table(file, name, sorted(set(k or KS)), sample, by or (), data or ())
    if output is not None:
        save(output, found)
    if as_json:
        answer(told(found))
        return
    note(about(found))
    rows = [
        (
            one.k,
            one.classes,
            *(f"{share:.2%}" for share in (one.prosecutor, one.journalist, one.marketer, one.suppressed_share)),
            None if one.ncp is None else f"{one.ncp:.2%}",
            one.discernibility,
            one.refused and one.refused.replace("\n", "; "),
        )
        for one in found.points
    ]
    show(
        table(("k", "groups", "prosecutor", "journalist", "marketer", "suppressed", "NCP", "discernibility", ""), rows)
    )


def list_(as_json: AsJson = False) -> None:
    """List the registered tasks, each in its newest version."""
    found = _pages("/tasks")
    if as_json:
        answer({"tasks": found})
        return
    rows = [
        (one["task"], one["version"], one["mode"], _yes(one["released"]), moment(one["created_at"])) for one in found
    ]
    show(table(("task", "version", "mode", "released", "created"), rows))


def show_(
    task: TaskName,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Print a task file as its author wrote it."""
    from control_api.cli.client import Client
    from control_api.cli.naming import of_task
    from control_api.cli.waiving import tell

    path = f"/tasks/{task}" if version is None else f"/tasks/{task}/versions/{version}"
    with Client() as client, of_task(client, task, "task show"):
        found = client.get(path)
        runs = list(client.pages("/runs", _LOOKED_AT, task=task))
    if as_json:
        answer(found)
        return
    note(f"version {found['version']}, released: {_yes(found['released'])}, by {found['created_by']}")
    for run in runs:
        tell(run)
    show(found["text"])


def runs(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only runs of this task.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help=f"Only runs that are {', '.join(STATES[:-1])} or {STATES[-1]}; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from control_api.cli.client import Client
    from control_api.cli.naming import of_task

    with Client() as client:
        found = list(client.pages("/runs", limit, task=task, state=state))
        if task is not None and not found:
            with of_task(client, task, "task runs"):
                client.get(f"/tasks/{task}")
    if as_json:
        answer({"runs": found})
        return
    rows = [(one["run"], one["state"], moment(one["created_at"]), _anonymization(one), one["reason"]) for one in found]
    show(table(("run", "state", "started", "anonymization", "reason"), rows))


def start(
    task: TaskName,
    version: Version = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Return when the run is prepared, failed or stopped; exit code 1 if not prepared."),
    ] = False,
    off: Off = False,
    tables: OffTables = None,
    reason: Why = None,
    keep: Keep = None,
    permit: PermitFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of a registered task.

    Of its newest released version, unless another is named.
    """
    from control_api.cli import starting, waiving
    from control_api.cli.client import Client
    from control_api.cli.commands.run import report
    from control_api.cli.naming import of_task
    from control_api.cli.watching import wait as wait_for

    waived = waiving.asked(off, tables, reason, keep)
    with Client(permit=waiving.read_permit(permit) if off else None) as client:
        with of_task(client, task, "task start"):
            run = starting.start(client, _released(client, task, version), off=waived)
        finished = wait_for(client, run["run"], quiet=as_json) if wait else run
    report(finished, as_json, wait)


def pause(run: RunName, reason: Reason = None, as_json: AsJson = False) -> None:
    """Read the sources of a run no further, until it is resumed.

    What was read already is prepared.
    """
    _steer(run, "pause", {"reason": reason}, as_json)


def resume(run: RunName, reason: Reason = None, as_json: AsJson = False) -> None:
    """Go on with a paused run where it was paused."""
    _steer(run, "resume", {"reason": reason}, as_json)


def finish(
    run: RunName,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when the run is over; exit code 1 if not prepared.")
    ] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """End a continuous run with all that its sources have.

    What is under way is prepared, records that wait for a group are published or left out, and the run ends.
    """
    from control_api.cli.client import Client
    from control_api.cli.commands.run import report
    from control_api.cli.naming import of_run
    from control_api.cli.watching import wait as wait_for

    with Client() as client:
        with of_run(client, run, "task finish"):
            found = client.post(f"/runs/{run}/finish", {"reason": reason})
        finished = wait_for(client, run, quiet=as_json) if wait else found
    report(finished, as_json, wait)


def stop(
    run: RunName,
    drop: Annotated[bool, typer.Option("--drop", help="Delete its prepared records, too.")] = False,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """End a run for good.

    What is not prepared yet is dropped; what is prepared stays, unless --drop.
    """
    _steer(run, "stop", {"reason": reason, "drop_prepared": drop}, as_json)


def _released(client: Any, task: str, version: int | None) -> dict[str, Any]:
    versions = client.get(f"/tasks/{task}/versions")["items"]
    released = [one["version"] for one in versions if one["released"]]
    chosen = version or (max(released) if released else versions[0]["version"])
    found: dict[str, Any] = client.get(f"/tasks/{task}/versions/{chosen}")
    return found


def _steer(run: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    from control_api.cli.client import Client
    from control_api.cli.naming import of_run

    with Client() as client, of_run(client, run, f"task {verb}"):
        found = client.post(f"/runs/{run}/{verb}", body)
    if as_json:
        answer(found)
    else:
        show(f"{found['run']}: {found['state']}")


def _pages(path: str, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
    from control_api.cli.client import Client

    with Client() as client:
        return list(client.pages(path, limit, **query))


def _anonymization(run: dict[str, Any]) -> str:
    waiver = run["without_anonymization"]
    return "on" if waiver is None else f"OFF: {', '.join(waiver['tables'])}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
