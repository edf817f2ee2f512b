"""Certificates of releases: made from what was measured on the published rows, and checked against rows again.

Always holds: nothing in a certificate comes from anywhere but the task, the counts of the run, the ledger of noise and
the published rows, so that whoever has these rows can compute every figure that is about rows again. How rows are read,
who measures them and where certificates lie is known elsewhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any, Final

import polars as pl
from pydantic import ValidationError

from processors.anonymize.runner import ORDER
from processors.privacy.breadth import Breadth
from processors.privacy.canonical import canonical
from processors.privacy.closeness import Reference as ColumnReference
from processors.privacy.finding import Finding, suppressed_share
from processors.privacy.measure import SLACK
from processors.privacy.requested import Closeness, Diversity, Request
from processors.privacy.stated import Stated
from processors.privacy.stated_groups import Groups, misses
from processors.privacy.statement import (
    CONTEXT,
    Digest,
    Guarantee,
    Level,
    Loss,
    Reference,
    Release,
    StatedBreadth,
    StatedCloseness,
    StatedColumn,
    StatedDiversity,
    StatedNoise,
    StatedPresence,
    StatedWaiver,
    Statement,
    Suppression,
    UsedMethod,
)
from schemas.columns import ColumnType
from schemas.task.model import Method
from schemas.waiver import Waiver

_EXACT: Final = 2**53 - 1
_SHOWN: Final = 1_000  # values of a reference distribution
_LONG: Final = 50  # rows of a hierarchy that a certificate repeats


@dataclass(frozen=True)
class Facts:
    """What a certificate states about a release beside what was measured."""

    run: str
    task: str
    task_version: int
    code_version: str
    mode: str
    table: str
    columns: Mapping[str, ColumnType]
    rows: int
    digest: str
    methods: Sequence[Method]
    anonymized: bool
    issued: str
    noise: StatedNoise | None = None
    groups: Groups | None = None
    waiver: Waiver | None = None


@dataclass(frozen=True)
class Mismatch:
    """One way in which data and certificate differ."""

    kind: str  # signature, columns, rows, digest, groups, k, l, t, loss, suppression or noise
    message: str


class MalformedError(ValueError):
    """Why a document is no certificate."""


def make(facts: Facts, findings: Sequence[Finding]) -> dict[str, Any]:
    """The unsigned certificate."""
    statement = Statement(
        id=f"urn:x-metal:run:{facts.run}:table:{facts.table}:certificate",
        issued=facts.issued,
        anonymized=facts.anonymized,
        release=Release(
            **{name: getattr(facts, name) for name in ("run", "task", "task_version", "code_version", "mode", "table")},
            columns=[StatedColumn(name=name, datatype=kind) for name, kind in facts.columns.items()],
            rows=facts.rows,
            digest=Digest(value=facts.digest),
        ),
        methods=[used(method) for method in sorted(facts.methods, key=_order)] if facts.anonymized else [],
        groups=facts.groups,
        guarantees=[*map(_guarantee, findings)],
        noise=facts.noise,
        **_waived(facts.waiver, facts.table),
    )
    return {"@context": CONTEXT, **statement.document()}


def _waived(waiver: Waiver | None, table: str) -> dict[str, Any]:
    if waiver is None:
        return {"anonymization": "on"}
    told = {name: value for name, value in waiver.told().items() if name != "until"}
    return {"anonymization": "off" if table in waiver.tables else "on", "waiver": StatedWaiver(**told)}


def read(document: Any) -> Statement:
    """The statement of a document, its proof aside; raises `MalformedError`."""
    if not isinstance(document, Mapping):
        raise MalformedError("it is no JSON object")
    if document.get("@context") != CONTEXT:
        raise MalformedError("its @context is not the one of mETaL's certificates")
    bare = {name: value for name, value in document.items() if name not in ("@context", "proof")}
    try:
        return Statement.model_validate(bare)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise MalformedError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from error


def request_of(guarantee: Guarantee) -> Request:
    """What has to be measured to check this guarantee."""
    return Request(
        quasi_identifiers=tuple(guarantee.quasi_identifiers),
        k=guarantee.requested.k,
        subject=guarantee.subject,
        diversity=tuple(Diversity(one.column, one.l, one.kind, one.c) for one in guarantee.requested.diversity),
        closeness=tuple(
            Closeness(one.column, one.t, one.distance, tuple(one.order) if one.order else None)
            for one in guarantee.requested.closeness
        ),
        suppression_limit=guarantee.suppression.limit,
    )


def breadths_of(guarantee: Guarantee) -> dict[str, Breadth]:
    """What the certificate says of the widths of groups."""
    return {one.column: Breadth(one.form, one.shares) for one in guarantee.breadths}


def compare(
    statement: Statement, rows: int, digest: str, findings: Sequence[Finding], fewest: int | None = None
) -> list[Mismatch]:
    """Every way in which the rows are not what is certified, or do not keep what was asked for.

    `fewest`: the least that the column has which counts the records of groups.
    """
    stated = statement.release
    found: list[Mismatch] = []
    if rows != stated.rows:
        found.append(Mismatch("rows", f"the data has {rows:,} rows, the certificate {stated.rows:,}"))
    if digest != stated.digest.value:
        found.append(Mismatch("digest", f"the rows have the digest {digest}, the certificate {stated.digest.value}"))
    if statement.noise is not None and rows != statement.noise.groups:
        said = f"the data has {rows:,} groups; noise was drawn for {statement.noise.groups:,}"
        found.append(Mismatch("noise", f"{said}, of which none may be left out"))
    if statement.groups is not None:
        found += [Mismatch("groups", message) for message in misses(statement.groups, rows, fewest)]
    for guarantee, finding in zip(statement.guarantees, findings, strict=True):
        found += _compare(guarantee, finding)
        found += [Mismatch(kind, message) for kind, message in finding.misses()]
    return found


def shortened(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a certificate tells of them."""
    return {name: _shortened(value) for name, value in options.items()}


def used(method: Method) -> UsedMethod:
    """A method as a certificate tells of it: a long hierarchy by its digest, everything else in full."""
    options = _shortened(method.options)
    named = options.get("quasi_identifiers") or options.get("columns") or options.get("column") or []
    columns = [named] if isinstance(named, str) else list(named)
    return UsedMethod(method=method.method, columns=columns, parameters=options)


def _order(method: Method) -> int:
    return ORDER.index(method.method) if method.method in ORDER else len(ORDER)


def _shortened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _shortened(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > _LONG:
            digest = hashlib.sha256(canonical(_exact(value))).hexdigest()
            return {"sha256": digest, "length": len(value)}
        return [_shortened(one) for one in value]
    return _exact(value)


def _exact(value: Any) -> Any:
    """A value that JSON holds exactly."""
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    return value if isinstance(value, float) and math.isfinite(value) else str(value)


def _guarantee(finding: Finding) -> Guarantee:
    request, measured = finding.request, finding.measured
    asked = Level(
        k=request.k,
        diversity=[*map(_diversity, request.diversity)],
        closeness=[*map(_closeness, request.closeness)],
        presence=None if request.presence is None else StatedPresence.model_validate(asdict(request.presence)),
    )
    reached = Level(
        k=measured.k,
        diversity=[_diversity(finding.diversity(one)) for one in request.diversity],
        closeness=[_closeness(finding.closeness(one)) for one in request.closeness],
    )
    return Guarantee(
        quasi_identifiers=list(request.quasi_identifiers),
        sensitive=list(request.sensitive),
        subject=request.subject,
        requested=asked,
        reached=reached,
        references=[_reference(column, reference) for column, reference in finding.references.items()],
        breadths=[
            StatedBreadth(column=column, form=one.form, shares=None if one.shares is None else dict(one.shares))
            for column, one in finding.breadths.items()
        ],
        loss=Loss(
            classes=measured.classes,
            average_class_size=measured.average_class_size,
            discernibility=_exact(measured.discernibility),
            ncp=finding.ncp,
        ),
        suppression=Suppression(
            records=measured.suppressed, share=suppressed_share(measured), limit=request.suppression_limit
        ),
    )


def _diversity(one: Diversity) -> StatedDiversity:
    c = one.c if one.c is not None and math.isfinite(one.c) else None
    return StatedDiversity.model_validate({"column": one.column, "kind": one.kind, "l": one.l, "c": c})


def _closeness(one: Closeness) -> StatedCloseness:
    order = None if one.order is None else list(one.order)
    stated = {"column": one.column, "distance": one.distance, "t": one.t, "order": order}
    return StatedCloseness.model_validate(stated)


def _reference(column: str, reference: ColumnReference) -> Reference:
    texts = reference.values.cast(pl.String).to_list()
    values = sorted(zip(texts, reference.counts.to_list(), strict=True), key=lambda one: (one[0] is not None, one[0]))
    return Reference(column=column, values=len(values), distribution=values if len(values) <= _SHOWN else None)


def _compare(stated: Guarantee, finding: Finding) -> Iterator[Mismatch]:
    now = _guarantee(finding)
    by = f"in classes by {', '.join(stated.quasi_identifiers)}"
    if now.reached.k != stated.reached.k:
        yield Mismatch("k", f"{by} k is {now.reached.k}, the certificate says {stated.reached.k}")
    for kind, said, is_now in (
        ("l", stated.reached.diversity, now.reached.diversity),
        ("t", stated.reached.closeness, now.reached.closeness),
        ("t", stated.references, now.references),
        ("loss", [stated.loss], [now.loss]),
        ("suppression", [stated.suppression], [now.suppression]),
    ):
        for one, other in zip_longest(said, is_now):
            yield from (Mismatch(kind, f"{by} {difference}") for difference in _differences(one, other))


def _differences(said: Stated | None, now: Stated | None) -> Iterator[str]:
    """In words, each member of the certificate's that is another in the data."""
    one, other = ({} if part is None else part.document() for part in (said, now))
    about = " of ".join(str(one[name]) for name in ("kind", "distance", "column") if name in one)
    for name in dict.fromkeys((*one, *other)):
        left, right = one.get(name), other.get(name)
        if not (_same(left, right) if isinstance(left, float) and isinstance(right, float) else left == right):
            what = " ".join(part for part in (name, "of" if about else "", about) if part)
            if name == "distribution":
                yield f"{what}: the values of the data are distributed otherwise"
            else:
                yield f"{what} is {_shown(right)}, the certificate says {_shown(left)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SLACK, abs_tol=SLACK)
