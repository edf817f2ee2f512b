"""What becomes of a record whose value does not pass a check: one vocabulary for every rule that checks."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
from pydantic import Field

from processors.rules.literals import literal
from processors.rules.protocol import Effect
from schemas.task.model import Column, Strict


class Replace(Strict):
    """Write this value instead."""

    replace: Any = Field(description="The value, of the column's type.")


Otherwise = Literal["drop", "reject"] | Replace


def settle(value: pl.Expr, fails: pl.Expr, otherwise: Otherwise, column: Column, reason: str) -> Effect:
    """The effect of `fails` under the declared strategy."""
    if isinstance(otherwise, Replace):
        new = pl.when(fails).then(literal(otherwise.replace, column)).otherwise(value)
        return Effect(value=new)
    return Effect(fails=fails, verdict=otherwise, reason=reason)
