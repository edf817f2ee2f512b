"""What certificates say of noise: all of it computed from the task and the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from pyld import jsonld

from processors.aggregate.noise_plan import noise_of
from processors.aggregate.noise_stated import noise_method, stated_noise
from processors.privacy.certificates.certificate import Facts, make, read
from processors.privacy.certificates.comparison import compare
from processors.privacy.differential.ledger import Ledger
from processors.privacy.differential.noise import Cost
from schemas.task.model import Task


def task(delta: float) -> Task:
    noise = {
        "budget": "people",
        "epsilon": 0.5,
        "delta": delta,
        "subject": "visit.who",
        "at_most": 3,
        "bounds": {"paid": {"min": 0, "max": 20}},
        "categories": {"visit.city": ["Oslo", "Rome"]},
    }
    aggregate = {"by": ["visit.city"], "columns": {"visits": "count(*)", "paid": "sum(visit.paid)"}, "noise": noise}
    columns = {name: {"type": "string"} for name in ("who", "city")} | {"paid": {"type": "float64"}}
    tables = {"visit": {"columns": columns}, "told": {"from": {"visit": {}}, "transform": [{"aggregate": aggregate}]}}
    return Task.model_validate({"task": "t", "tables": tables})


def document(of: Task) -> dict[str, Any]:
    plan = noise_of("told", of)
    assert plan is not None
    ledger = Ledger("people", Cost.of(2, "1e-5"), earlier=Cost.of("0.25"))
    ledger = ledger.ask(
        plan.questions, {name: dict.fromkeys(one.categories, "1") for name, one in plan.questions.items()}
    )
    facts = Facts(
        run="t-aaaaaaaa",
        task="t",
        task_version=1,
        code_version="1",
        mode="snapshot",
        table="told",
        columns={"city": "string", "visits": "int64", "paid": "float64"},
        rows=2,
        digest="0" * 64,
        methods=noise_method(of, "told"),
        anonymized=True,
        issued="2026-11-21T00:00:00Z",
        noise=stated_noise(of, "told", plan, ledger, ledger.told),
    )
    return make(facts, [])


@pytest.mark.parametrize(("delta", "mechanism"), [(0, "discrete Laplace"), (1e-6, "discrete Gaussian")])
def test_mechanism_cost_bounds_and_what_is_used_of_the_budget_are_stated(delta: float, mechanism: str) -> None:
    found = document(task(delta))["noise"]
    each = {"epsilon": 0.25, "delta": delta / 2}
    assert found == {
        "mechanism": mechanism,
        "cost": {"epsilon": 0.5, "delta": delta},
        "columns": [
            {"name": "visits", "cost": each},
            {"name": "paid", "cost": each, "minimum": 0.0, "maximum": 20.0, "step": 0.001},
        ],
        "subject": "visit.who",
        "recordsOfASubject": 3,
        "groups": 2,
        "budget": "people",
        "granted": {"epsilon": 2.0, "delta": 1e-5},
        "used": {"epsilon": 0.75, "delta": delta},
    }


def test_the_method_names_its_columns_and_all_it_was_told() -> None:
    (method,) = document(task(0))["methods"]
    assert (method["method"], method["columns"]) == ("noise", ["visits", "paid"])
    assert method["parameters"]["categories"] == {"visit.city": ["Oslo", "Rome"]}


def test_a_group_that_was_left_out_is_missed() -> None:
    statement = read(document(task(0)))
    assert compare(statement, 2, "0" * 64, []) == []
    found = {one.kind: one.message for one in compare(statement, 1, "0" * 64, [])}
    assert found["noise"] == "the data has 1 groups; noise was drawn for 2, of which none may be left out"


def test_it_is_linked_data_throughout() -> None:
    made = document(task(1e-6))
    (expanded,) = jsonld.expand(made)
    (noise,) = expanded["urn:x-metal:privacy#noise"]
    assert noise["urn:x-metal:privacy#budget"] == [{"@value": "people"}]
    assert len(noise["http://www.w3.org/ns/csvw#column"][0]["@list"]) == 2
