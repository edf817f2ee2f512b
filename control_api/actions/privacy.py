"""What may be told with differential privacy: budgets that people set, and answers that runs take from them.

Always holds: an answer, its cost and their audit event are one transaction, and a run is told the same again. Nothing
raw comes here: what is drawn has its noise already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from control_api.actions.context import Context, wrong
from control_api.actions.transitions import ENGINE, lock
from control_api.store import audit, privacy
from control_api.store.db import Connection, Connections
from control_api.store.privacy import Account
from processors.aggregate.noise_plan import noise_of
from processors.aggregate.noisy import Draw
from processors.privacy.differential.ledger import NOTHING, Ledger
from processors.privacy.differential.noise import Answer, Cost, Question
from processors.wrong_config import MisfitError
from schemas.errors import Conflict, NotFound
from schemas.task.form import NAME
from schemas.task.model import Name, Task

_NAMES: Final = TypeAdapter(Name)
_MOST: Final = 1_000_000


def set_budget(ctx: Context, actor: str, name: str, epsilon: float | str, delta: float | str = 0) -> dict[str, Any]:
    """Sets what all tasks together may tell; what was told already counts against it."""
    cost = _cost(epsilon, delta)
    try:
        _NAMES.validate_python(name)
    except ValidationError:
        raise wrong("name", f"{name!r} is not a name", NAME) from None
    with ctx.connections() as conn:
        before = privacy.granted(conn, name)
        privacy.set_budget(conn, name, cost, actor)
        detail = {"budget": _plain(cost), "before": None if before is None else _plain(before)}
        audit.record(conn, actor, "privacy.budget_set", name, detail)
    return get_budget(ctx, name)


def get_budget(ctx: Context, name: str) -> dict[str, Any]:
    found = next((one for one in list_budgets(ctx) if one["name"] == name), None)
    if found is None:
        raise NotFound(f"there is no privacy budget {name!r}; set it: metal privacy budget set {name} --epsilon 1")
    return found


def list_budgets(ctx: Context) -> list[dict[str, Any]]:
    with ctx.connections() as conn:
        return [_shown(one) for one in privacy.accounts(conn)]


def check_left(conn: Connection, task: Task) -> None:
    """Refuses a run that could not be told what it asks, before it reads anything. Nothing is set aside for it."""
    costs: dict[str, Cost] = {}
    for name in task.tables:
        if (plan := noise_of(name, task)) is not None:
            cost = sum((question.cost for question in plan.questions.values()), NOTHING)
            costs[plan.budget] = costs.get(plan.budget, NOTHING) + cost
    known = {one.ledger.budget: one.ledger for one in privacy.accounts(conn)} if costs else {}
    for budget, cost in costs.items():
        known.get(budget, Ledger(budget)).afford(cost)


def tell(
    connections: Connections, run: str, table: str, budget: str, questions: Mapping[str, Question], draw: Draw
) -> dict[str, Answer]:
    """The answers of a table's columns, which are durable; raises `Conflict` where the budget lacks what they cost.

    Noise is drawn while nothing is locked. What was drawn in vain, since another was faster, is never seen.
    """
    with connections() as conn:
        known = privacy.ledger_of(conn, budget, (run, table), lock=False)
        drawn = dict.fromkeys(known.unanswered(questions), Answer())
    if drawn:
        drawn = {column: draw(column) for column in drawn}
        with connections() as conn:
            known = _charge(conn, run, table, budget, questions, drawn)
    return {column: known.told[column].answer for column in questions}


def _charge(
    conn: Connection, run: str, table: str, budget: str, questions: Mapping[str, Question], drawn: Mapping[str, Answer]
) -> Ledger:
    """Enforces: what is told, what it cost and who was told stand or fall together."""
    if lock(conn, run).ended:
        raise Conflict(f"run {run!r} is over: nothing more is told of it")
    known = privacy.ledger_of(conn, budget, (run, table))
    found = known.ask(questions, drawn)
    new = {column: one for column, one in found.told.items() if column not in known.told}
    if new:
        privacy.add(conn, budget, (run, table), new)
        cost = sum((one.cost for one in new.values()), NOTHING)
        detail = {"table": table, "budget": budget, "cost": _plain(cost), "left": _plain(found.left)}
        audit.record(conn, ENGINE, "privacy.told", run, detail)
    return found


def _cost(epsilon: float | str, delta: float | str) -> Cost:
    try:
        cost = Cost.of(epsilon, delta)
    except MisfitError as misfit:
        raise wrong(str(misfit.at[0]), misfit.wrong, misfit.right) from None
    if not 0 <= cost.epsilon <= _MOST:
        raise wrong("epsilon", f"{epsilon} is no budget", "give a number from 0, mostly not above 10")
    if not 0 <= cost.delta < 1:
        raise wrong("delta", f"{delta} is no probability", "give a number from 0, far below 1 by the number of people")
    return cost


def _plain(cost: Cost) -> dict[str, float]:
    return {"epsilon": float(cost.epsilon), "delta": float(cost.delta)}


def _shown(one: Account) -> dict[str, Any]:
    ledger = one.ledger
    return {
        "name": ledger.budget,
        "budget": _plain(ledger.granted or NOTHING),
        "spent": _plain(ledger.spent),
        "left": _plain(ledger.left),
        "runs": one.runs,
        "last": None if one.last is None else one.last.isoformat(),
    }
