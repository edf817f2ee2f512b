"""Steps as tests write them: compiled, or a `ConfigError` with every mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from processors.transform.aggregates import AggregatePlan, read_aggregate
from processors.transform.steps import RecordTransform, read_steps
from processors.wrong_config import ConfigError
from schemas.columns import ColumnType
from schemas.task.model import Aggregate, Kind, Step


def compile_steps(steps: Sequence[Step], columns: Mapping[str, Kind | ColumnType]) -> RecordTransform:
    transform, mistakes = read_steps(steps, columns)
    if mistakes:
        raise ConfigError(mistakes)
    return transform


def compile_aggregate(aggregate: Aggregate, columns: Mapping[str, Kind | ColumnType]) -> AggregatePlan:
    plan, mistakes = read_aggregate(aggregate, columns)
    if mistakes:
        raise ConfigError(mistakes)
    return plan
