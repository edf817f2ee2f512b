"""Certificates of releases: made from what was measured on the published rows, and read back.

Always holds: nothing in a certificate comes from anywhere but the task, the counts of the run, the ledger of noise and
the published rows, so that whoever has these rows can compute every figure that is about rows again. How rows are read,
who measures them and where certificates lie is known elsewhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from pydantic import ValidationError

from processors.anonymize.runner import ORDER
from processors.privacy.certificates.canonical import canonical
from processors.privacy.certificates.finding import Finding, suppressed_share
from processors.privacy.certificates.stated_groups import Groups
from processors.privacy.certificates.stated_presence import stated_presence
from processors.privacy.certificates.statement import (
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
    StatedWaiver,
    Statement,
    Suppression,
    UsedMethod,
)
from processors.privacy.guarantees.closeness import Reference as ColumnReference
from processors.privacy.guarantees.requested import Closeness, Diversity, Request
from processors.privacy.measured.breadth import Breadth
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
        guarantees=[*map(guarantee, findings)],
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


def request_of(stated: Guarantee) -> Request:
    """What has to be measured to check this stated."""
    return Request(
        quasi_identifiers=tuple(stated.quasi_identifiers),
        k=stated.requested.k,
        subject=stated.subject,
        diversity=tuple(Diversity(one.column, one.l, one.kind, one.c) for one in stated.requested.diversity),
        closeness=tuple(
            Closeness(one.column, one.t, one.distance, tuple(one.order) if one.order else None)
            for one in stated.requested.closeness
        ),
        suppression_limit=stated.suppression.limit,
    )


def breadths_of(stated: Guarantee) -> dict[str, Breadth]:
    """What the certificate says of the widths of groups."""
    return {one.column: Breadth(one.form, one.shares) for one in stated.breadths}


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


def guarantee(finding: Finding) -> Guarantee:
    """What a finding is in a certificate's words."""
    request, measured = finding.request, finding.measured
    asked = Level(
        k=request.k,
        diversity=[*map(_diversity, request.diversity)],
        closeness=[*map(_closeness, request.closeness)],
        presence=None if request.presence is None else stated_presence(request.presence),
    )
    reached = Level(
        k=measured.k,
        diversity=[_diversity(finding.diversity(one)) for one in request.diversity],
        closeness=[_closeness(finding.closeness(one)) for one in request.closeness],
        presence=None if finding.presence is None else stated_presence(finding.presence),
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
