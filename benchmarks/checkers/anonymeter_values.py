"""What anonymeter's attacks reach on releases of the Adult table, as JSON: linkage, singling out and inference.

Its pins do not agree with ours, so it runs in an environment of its own, made from `anonymeter.lock`:

    .venv/bin/python -m benchmarks.checkers.releases ADULT TABLES
    .venv/bin/uv venv ENVIRONMENT
    .venv/bin/uv pip sync --python ENVIRONMENT/bin/python --require-hashes benchmarks/checkers/anonymeter.lock
    ENVIRONMENT/bin/python -m benchmarks.checkers.anonymeter_values TABLES benchmarks/checkers/attacks.json

TABLES holds what `releases` wrote. A risk is what an attack reaches on people of the release beyond what it reaches on
people who are not in it, with its 95 % interval; the bound is the upper end. Every linkage is tried with several ways
to split the columns between the two data sets that the attacker has and several numbers of neighbours; the worst of
all are put first. Attacks draw by seeds that are set here, but anonymeter's random guesses for `baseline` have none.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

ATTACKS: Final = 500  # anonymeter's own choice
LINKS: Final = 4_000  # attempts at linkage, where a release is SMALL: every pair of records is compared
SMALL: Final = 5_000
NEIGHBOURS: Final = (1, 5, 10, 20)
COLUMNS_OF_A_QUERY: Final = (3, 5, 8)
ATTEMPTS: Final = 10_000
TARGET: Final = 0.1  # linkage: the upper bound of the risk
SEED: Final = 11
DRAWN_SPLITS: Final = 3
SPLITS: Final = (
    ("age", "sex", "race", "native-country", "marital-status"),
    ("age", "education", "occupation"),
    ("age", "marital-status", "occupation", "salary-class"),
)
Tables = dict[str, pd.DataFrame]


def splits(columns: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """The columns of each of the attacker's two data sets."""
    draw = random.Random(SEED)
    halves = [*SPLITS, *(tuple(draw.sample(list(columns), len(columns) // 2)) for _ in range(DRAWN_SPLITS))]
    return [([c for c in columns if c in half], [c for c in columns if c not in half]) for half in halves]


def linkage(tables: Tables) -> Iterator[dict[str, Any]]:
    attempts = LINKS if len(tables["release"]) <= SMALL else ATTACKS
    for one, other in splits(list(tables["original"].columns)):
        np.random.seed(SEED)
        attack = LinkabilityEvaluator(
            tables["original"], tables["release"], (one, other), attempts, max(NEIGHBOURS), tables["control"]
        ).evaluate(n_jobs=1)
        for neighbours in NEIGHBOURS:
            found = attack.results(n_neighbors=neighbours)
            yield {"columns": [one, other], "neighbours": neighbours, **told(found)}


def singling_out(tables: Tables) -> Iterator[dict[str, Any]]:
    """Queries that one row of the release alone meets; as many as ATTEMPTS find."""
    for columns in (1, *COLUMNS_OF_A_QUERY):
        attack = SinglingOutEvaluator(
            tables["original"], tables["release"], ATTACKS, columns, tables["control"], ATTEMPTS, SEED
        )
        try:
            attack.evaluate("univariate" if columns == 1 else "multivariate")
        except RuntimeError as error:
            yield {"columns_of_a_query": columns, "impossible": str(error)}
            continue
        yield {"columns_of_a_query": columns, **told(attack.results())}


def inference(tables: Tables) -> Iterator[dict[str, Any]]:
    """Each column from all others; an age is told if it is within 5 %.

    The baseline is the release's most frequent value: anonymeter sets its random guesses beside people by the number
    of the row, where most have none.
    """
    columns = list(tables["original"].columns)
    for secret in columns:
        np.random.seed(SEED)
        known = [name for name in columns if name != secret]
        number = pd.api.types.is_numeric_dtype(tables["original"][secret])
        attack = InferenceEvaluator(
            tables["original"], tables["release"], known, secret, number, ATTACKS, tables["control"]
        ).evaluate(n_jobs=1)
        most_frequent = tables["release"][secret].value_counts(normalize=True).iloc[0]
        yield {"secret": secret, **told(attack.results(), round(float(most_frequent), 4))}


def told(found: Any, baseline: float | None = None) -> dict[str, Any]:
    """Rates are as counted; the risk and its interval are anonymeter's."""
    risk = found.risk()
    return {
        "attacks": found.n_attacks_ori,
        "success": round(found.n_success / found.n_attacks_ori, 4),
        "baseline": round(found.n_baseline / found.n_attacks_baseline, 4) if baseline is None else baseline,
        "control": round(float(found.n_control) / found.n_attacks_control, 4),
        "risk": round(float(risk.value), 4),
        "interval": [round(float(end), 4) for end in risk.ci],
    }


ATTACKED: Final = {"linkage": linkage, "singling_out": singling_out, "inference": inference}


def attacked(folder: Path) -> dict[str, Any]:
    given = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ATTACKED}
    for case in given["cases"]:
        tables = {part: pd.read_csv(folder / file) for part, file in case.pop("files").items()}
        for kind, attack in ATTACKED.items():
            results[kind] += ({"case": case["case"], **one} for one in attack(tables))
            print(case["case"], kind, worst(results[kind]), file=sys.stderr, flush=True)
    return document(given, results)


def document(given: dict[str, Any], results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Linkage that finds no more than random pairs do is told, too, but says nothing about a release."""
    linked = results["linkage"]
    better = worst([one for one in linked if one["success"] > one["baseline"]])
    worsts = {kind: worst(found) for kind, found in results.items()} | {"linkage, better than random": better}
    bounds = {name: worsts[name]["interval"][1] for name in ("linkage", "linkage, better than random")}
    return {
        "by": f"anonymeter {version('anonymeter')}",
        "command": "python -m benchmarks.checkers.anonymeter_values TABLES OUTPUT",
        "seed": SEED,
        **given,
        "target": {"upper bound at most": TARGET, "met": {name: bound <= TARGET for name, bound in bounds.items()}},
        "worst": worsts,
        **results,
    }


def worst(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """That of the greatest upper bound, of these the one of the greatest success."""
    return max((one for one in found if "interval" in one), key=lambda one: (one["interval"][1], one["success"]))


def write(path: Path, document: dict[str, Any]) -> None:
    """A line for each attack."""
    lists = {name: document[name] for name in ("cases", *ATTACKED)}
    head = {name: one for name, one in document.items() if name not in lists}
    parts = [f' "{name}": {json.dumps(one)}' for name, one in head.items()]
    for name, rows in lists.items():
        parts.append(f' "{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # told are successes and baselines themselves
    write(given.output, attacked(given.tables))


if __name__ == "__main__":
    main()
