"""Bodies of requests. A field that is not known is refused: it may be a misspelt one that matters."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from schemas.waiver import HOURS, MOST_HOURS, Asked

Number = Annotated[str, Field(max_length=64)]
Reason = Annotated[str | None, Field(default=None, max_length=500)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TaskText(Body):
    """The text of a task file, the absolute directory that it stands in, and what mistakes call it."""

    text: Annotated[str, Field(max_length=2_000_000)]
    base: Annotated[str, Field(max_length=4096)]
    file: Annotated[str, Field(min_length=1, max_length=4096)] = "task.yaml"


class WithoutAnonymization(Body):
    """All tables that declare methods, unless `tables` names some. Their rows are deleted after so many hours."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]
    tables: Annotated[list[str], Field(max_length=1000)] = Field(default_factory=list)
    hours: Annotated[float, Field(gt=0, le=MOST_HOURS)] = HOURS

    def asked(self) -> Asked:
        return Asked(self.reason, tuple(self.tables), self.hours)


class Start(Body):
    """`secrets`: values for what the task names as {env: NAME}. `file`: what mistakes call the task."""

    task: Annotated[str, Field(max_length=64)]
    version: Annotated[int | None, Field(ge=1)] = None
    secrets: dict[str, SecretStr] = Field(default_factory=dict)
    file: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    without_anonymization: WithoutAnonymization | None = None


class Because(Body):
    reason: Reason


class Stop(Body):
    reason: Reason
    drop_prepared: bool = False


class Budget(Body):
    """What all tasks together may tell of some people. A text is taken as it is written: 0.1 is a tenth."""

    epsilon: float | Number
    delta: float | Number = 0
