"""metal privacy: how much may be told of some people with differential privacy, and how much of that is left."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from control_api.cli.output import AsJson, answer, moment, show, table

BudgetName = Annotated[str, typer.Argument(metavar="NAME", help="The name that tasks give it: noise.budget.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = typer.Typer(help="Set and look up how much may be told of people.", no_args_is_help=True)
    budget = typer.Typer(help="The budgets that noise is paid from.", no_args_is_help=True)
    budget.command("set")(set_)
    budget.command("show")(show_)
    group.add_typer(budget, name="budget")
    app.add_typer(group, name="privacy")


def set_(
    name: BudgetName,
    epsilon: Annotated[str, typer.Option("--epsilon", metavar="E", help="What all runs together may tell: 1, say.")],
    delta: Annotated[
        str, typer.Option("--delta", metavar="D", help="How likely more may be told: 1e-6, say; else never.")
    ] = "0",
    as_json: AsJson = False,
) -> None:
    """Set a budget, or replace it.

    All tasks that name it take from it. What was told already counts against it, so a lower one may leave nothing.
    """
    from control_api.cli.client import Client

    with Client() as client:
        _show([client.put(f"/privacy/budgets/{name}", {"epsilon": epsilon, "delta": delta})], as_json)


def show_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of them; else all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the budgets, with what is spent and left of each."""
    from control_api.cli.client import Client

    with Client() as client:
        found = client.get("/privacy/budgets")["items"] if name is None else [client.get(f"/privacy/budgets/{name}")]
    _show(found, as_json)


def _show(budgets: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        answer({"budgets": budgets})
        return
    rows = [
        (one["name"], *(_cost(one[part]) for part in ("budget", "spent", "left")), one["runs"], moment(one["last"]))
        for one in budgets
    ]
    show(table(("name", "budget", "spent", "left", "runs", "last told"), rows))


def _cost(cost: dict[str, float]) -> str:
    return f"{cost['epsilon']:g}" + (f", delta {cost['delta']:g}" if cost["delta"] else "")
