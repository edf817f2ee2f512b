"""What a certificate says of a table that is told with noise: from the task and the ledger, and from no rows."""

from __future__ import annotations

from collections.abc import Mapping

from processors.aggregate.noise_plan import NoisePlan
from processors.privacy.certificates.statement import NoisyColumn, Spent, StatedNoise
from processors.privacy.differential.ledger import NOTHING, Ledger, Told
from processors.privacy.differential.noise import Cost
from processors.transform.outputs import aggregate_of
from schemas.task.model import Method, Noise, Task


def stated_noise(task: Task, table: str, plan: NoisePlan, ledger: Ledger, told: Mapping[str, Told]) -> StatedNoise:
    """`ledger`: of the plan's budget; `told`: what was told of the table, by column."""
    noise = _noise(task, table)
    cost = sum((one.cost for one in told.values()), NOTHING)
    columns = []
    for name, question in plan.questions.items():
        step = float(question.step) if question.kind == "sum" else None
        bounds = noise.bounds.get(name)
        columns.append(
            NoisyColumn(
                name=name,
                cost=_spent(told[name].cost),
                minimum=bounds and bounds.min,
                maximum=bounds and bounds.max,
                step=step,
            )
        )
    return StatedNoise(
        mechanism="discrete Gaussian" if cost.delta else "discrete Laplace",
        cost=_spent(cost),
        columns=columns,
        subject=noise.subject,
        records_of_a_subject=noise.at_most,
        groups=plan.cells.height,
        budget=plan.budget,
        granted=_spent(ledger.granted or NOTHING),
        used=_spent(ledger.spent),
    )


def noise_method(task: Task, table: str) -> tuple[Method, ...]:
    """The noise as a method that a certificate names."""
    options = _noise(task, table).model_dump(mode="json", exclude_none=True)
    aggregate = aggregate_of(task.tables[table])
    columns = [] if aggregate is None else list(aggregate.columns)
    return (Method.model_validate({"method": "noise", "columns": columns, **options}),)


def _noise(task: Task, table: str) -> Noise:
    aggregate = aggregate_of(task.tables[table])
    if aggregate is None or aggregate.noise is None:
        raise LookupError(f"{table} is told without noise")
    return aggregate.noise


def _spent(cost: Cost) -> Spent:
    return Spent(epsilon=float(cost.epsilon), delta=float(cost.delta))
