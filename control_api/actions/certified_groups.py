"""What is certified of an aggregated table's groups: from the task, the counts of its run and the published rows."""

from __future__ import annotations

from collections.abc import Mapping

from processors.aggregate.families import handling_of
from processors.privacy.certificates.certificate import shortened
from processors.privacy.certificates.stated_groups import Groups, withheld
from processors.transform.outputs import aggregate_of
from schemas.columns import ColumnType
from schemas.task.model import Task


def counted_by(task: Task, table: str, columns: Mapping[str, ColumnType]) -> str | None:
    """The published column that tells how many records each group has, where each record is its own subject."""
    handling = handling_of(table, task) if table in task.tables else None
    if handling is None or handling.rule is None or handling.rule.subject is not None:
        return None
    aggregate = aggregate_of(task.tables[table])
    treated = {name for method in task.tables[table].anonymize for name in method.options.get("columns", [])}
    return next(
        (
            name
            for name, text in (aggregate.columns if aggregate else {}).items()
            if text.replace(" ", "").lower() == "count(*)" and name not in treated and columns.get(name) == "int64"
        ),
        None,
    )


def groups_of(
    task: Task, table: str, rows: int, counts: Mapping[str, int], counted: str | None, fewest: int | None
) -> Groups | None:
    """None of a table that is not aggregated; `counts`: groups that the run withheld, by reason."""
    handling = handling_of(table, task) if table in task.tables else None
    if handling is None:
        return None
    rule, beside = handling.rule, list(handling.beside)
    if rule is None:
        how = "publish" if handling.of is None else "inherit"
        return Groups.model_validate({"small_groups": how, "of": handling.of, "beside": beside, "published": rows})
    return Groups(
        small_groups=rule.then,
        k=rule.k,
        subject=rule.subject,
        parameters=shortened({"levels": rule.levels}) if rule.levels else None,
        beside=beside,
        published=rows,
        withheld=withheld(counts),
        counted=counted,
        fewest=fewest,
    )
