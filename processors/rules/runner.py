"""Field rules of a table, compiled into a few passes over a batch.

Always holds: every record that goes in is kept, dropped or rejected, once; a reject leaves as it came.
A record that several rules fail counts for the first of them in the order of columns, then of application.
Deletions (`_op` = 1) are brought into form, so that their key meets the record's, but no rule drops them.
Knows rules only by what was found; knows no file, topic or merge.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl
from pydantic import ValidationError

from processors.outcome import Outcome, mark_rejected, rejected_none
from processors.rules.protocol import Effect, Rule, Verdict
from processors.wrong_config import ConfigError, MisfitError, Read, Wrong, embedded, explain
from schemas.columns import CHANGED, OP
from schemas.task.model import Column

BITS = 64
FURTHER = ("*", "further rules")  # shares the last bit where more than 64 rules can change a value


@dataclass(frozen=True)
class Check:
    """A verdict that a rule can reach, and the temporary column that says on which records."""

    column: str
    rule: str
    verdict: Verdict
    reason: str
    hit: str


@dataclass(frozen=True)
class Pass:
    """One rule of each column, evaluated together."""

    compute: tuple[pl.Expr, ...]  # new values under temporary names, hits and changes that rules tell
    settle: tuple[pl.Expr, ...]  # changes found by comparing, new values under their own names

    def run(self, frame: pl.DataFrame) -> pl.DataFrame:
        computed = frame.with_columns(self.compute)
        return computed.with_columns(self.settle) if self.settle else computed


@dataclass(frozen=True)
class CompiledRules:
    """Bit i of `_chg` says that `changes[i]`, a column and a rule, changed the record."""

    changes: tuple[tuple[str, str], ...]
    passes: tuple[Pass, ...]
    checks: tuple[Check, ...]
    flags: pl.Expr
    effects: tuple[tuple[str, list[tuple[str, Effect]]], ...] = ()

    def settled(self, columns: Collection[str], changed: int) -> CompiledRules:
        """For records whose `columns` have passed these rules already, which then set the bits of `changed`."""
        return _assemble(self.effects, columns, changed)

    def apply(self, frame: pl.DataFrame) -> Outcome:
        work = frame
        for one in self.passes:
            work = one.run(work)
        columns = [pl.col(name) for name in frame.columns if name != CHANGED]
        columns.append(self.flags.alias(CHANGED))
        if not self.checks:
            return Outcome(work.select(columns), {}, rejected_none(frame))
        failed = pl.any_horizontal(check.hit for check in self.checks)
        mask = work.select((failed & (pl.col(OP) == 0)) if OP in frame.columns else failed).to_series()
        if not mask.any():
            return Outcome(work.select(columns), {}, rejected_none(frame))
        kept = work.select(columns).filter(~mask)
        return Outcome(kept, *self._judge(frame.filter(mask), work.filter(mask)))

    def _judge(self, came: pl.DataFrame, work: pl.DataFrame) -> tuple[dict[str, int], pl.DataFrame]:
        """Dropped counts and rejects among the records that failed at least one check."""
        first = pl.coalesce(
            pl.when(pl.col(check.hit)).then(pl.lit(i, dtype=pl.UInt32)) for i, check in enumerate(self.checks)
        )
        verdicts = work.select(first.alias("~first")).to_series()
        dropped: dict[str, int] = {}
        for i, count in sorted(verdicts.value_counts().iter_rows()):
            check = self.checks[i]
            if check.verdict == "drop":
                name = f"{check.column}.{check.rule}"
                dropped[name] = dropped.get(name, 0) + count
        return dropped, self._rejects(came, verdicts)

    def _rejects(self, came: pl.DataFrame, verdicts: pl.Series) -> pl.DataFrame:
        told = {i: check for i, check in enumerate(self.checks) if check.verdict == "reject"}
        mask = verdicts.is_in(list(told))
        if not mask.any():
            return rejected_none(came)
        which = verdicts.filter(mask)

        def tell(text: dict[int, str]) -> pl.Expr:
            return pl.lit(which.replace_strict(list(text), list(text.values()), return_dtype=pl.String))

        return mark_rejected(
            came.filter(mask),
            tell({i: check.column for i, check in told.items()}),
            tell({i: check.rule for i, check in told.items()}),
            tell({i: check.reason for i, check in told.items()}),
        )


def compile_rules(columns: Mapping[str, Column], rules: Mapping[str, type[Rule]]) -> CompiledRules:
    """The rules of a table's columns; raises `ConfigError` with every mistake, paths from the columns on."""
    effects: list[tuple[str, list[tuple[str, Effect]]]] = []
    mistakes: list[Wrong] = []
    for name, column in columns.items():
        told, wrong = _column_effects(name, column, rules)
        effects.append((name, told))
        mistakes += wrong
    if mistakes:
        raise ConfigError(mistakes)
    return _assemble(effects)


def embed_files(columns: Mapping[str, Column], rules: Mapping[str, type[Rule]], read: Read) -> dict[str, Column]:
    """The columns with the files that rules name read into their configs: what a released task keeps.

    `read` gives a file's text, or raises OSError; raises `ConfigError` with every mistake.
    """
    found: dict[str, Column] = {}
    mistakes: list[Wrong] = []
    for name, column in columns.items():
        configs = {}
        for key, raw in column.rules.items():
            embed = getattr(rules.get(key), "embed", None)
            configs[key] = raw if embed is None else embedded(embed, raw, read, (name, key), mistakes)
        found[name] = column.model_copy(update=configs)
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _column_effects(
    name: str, column: Column, rules: Mapping[str, type[Rule]]
) -> tuple[list[tuple[str, Effect]], list[Wrong]]:
    told: list[tuple[int, str, Effect]] = []
    mistakes: list[Wrong] = []
    for key, raw in column.rules.items():
        path = (name, key)
        rule = rules.get(key)
        if rule is None:
            mistakes.append(Wrong(path, "is no rule", f"rules are {', '.join(sorted(rules))}"))
        elif column.type not in rule.types:
            fits = ", ".join(sorted(rule.types))
            mistakes.append(Wrong(path, f"does not fit a column of type {column.type}", f"it fits {fits}"))
        else:
            try:
                config = rule.Config.model_validate(raw)
                told.append((rule.phase, key, rule().apply(pl.col(name), config, column)))
            except ValidationError as error:
                mistakes += explain(error, rule.Config, raw, path)
            except MisfitError as misfit:
                mistakes.append(Wrong((*path, *misfit.at), misfit.wrong, misfit.right))
    told.sort(key=lambda one: one[0])  # stable: as written within a phase
    return [(key, effect) for _, key, effect in told], mistakes


def _assemble(
    effects: Sequence[tuple[str, list[tuple[str, Effect]]]], settled: Collection[str] = (), changed: int = 0
) -> CompiledRules:
    depth = max((len(told) for _, told in effects), default=0)
    plan: list[tuple[list[pl.Expr], list[pl.Expr]]] = [([], []) for _ in range(depth)]
    checks: list[Check] = []
    changes: list[tuple[str, str]] = []
    for column, told in effects:
        for (compute, settle), (rule, effect) in zip(plan, told, strict=False):
            writes = effect.value is not None or effect.instead is not None
            if column in settled:
                if writes:
                    bit = changed >> min(len(changes), BITS - 1) & 1
                    compute.append(pl.lit(bool(bit)).alias(f"~changed{len(changes)}"))
                    changes.append((column, rule))
                continue
            if effect.fails is not None:
                check = Check(column, rule, effect.verdict, effect.reason, f"~fails{len(checks)}")
                checks.append(check)
                compute.append(effect.fails.fill_null(False).alias(check.hit))
            if not writes:
                continue
            flag = f"~changed{len(changes)}"
            changes.append((column, rule))
            if effect.changed is not None:
                compute.append(effect.changed.fill_null(False).alias(flag))
            if effect.value is None:
                settle.append(pl.when(pl.col(flag)).then(effect.instead).otherwise(pl.col(column)).alias(column))
                continue
            new = f"~new{column}"
            compute.append(effect.value.alias(new))
            settle.append(pl.col(new).alias(column))
            if effect.changed is None:
                settle.append(pl.col(new).ne_missing(pl.col(column)).alias(flag))
    passes = tuple(Pass(tuple(compute), tuple(settle)) for compute, settle in plan if compute)
    named = tuple(changes) if len(changes) <= BITS else (*changes[: BITS - 1], FURTHER)
    return CompiledRules(named, passes, tuple(checks), _flags(len(changes)), tuple(effects))


def _flags(count: int) -> pl.Expr:
    """One bit for each change; from the 64th on they share the last bit."""
    bits = [pl.when(pl.col(f"~changed{i}")).then(pl.lit(1 << min(i, BITS - 1), dtype=pl.UInt64)) for i in range(count)]
    zero = pl.lit(0, dtype=pl.UInt64)
    return reduce(or_, (bit.otherwise(zero) for bit in bits), zero)
