"""Certificates of prepared tables: measured on the rows as they would be exported, signed, stored and audited.

While a run may still take corrections its certificate is made anew each time; that of a run that
has ended stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from control_api.actions.certified_groups import counted_by, groups_of
from control_api.actions.context import Context
from control_api.actions.examine import Asked, Examined, examine
from control_api.actions.promised import asked_of, kinds_of, visible
from control_api.actions.releases import admit
from control_api.store import audit, certificates, keys, privacy
from control_api.store.db import Connection
from control_api.store.outbox import plan_of
from control_api.store.outbox_export import address_of, frames
from control_api.store.runs import Run, get_run
from control_api.store.totals import Totals, totals_of
from processors.aggregate.noise_plan import noise_of
from processors.aggregate.noise_stated import noise_method, stated_noise
from processors.privacy.certificates.certificate import Facts, make
from processors.privacy.certificates.finding import Finding, breadths_of
from processors.privacy.certificates.signature import public_key, sign
from processors.privacy.certificates.statement import StatedNoise
from processors.privacy.guarantees.requested import Presence
from schemas.columns import ColumnType
from schemas.errors import Conflict
from schemas.task.model import Method

CERTIFIED: Final = ("prepared", "stopped")
SUPPRESSED: Final = "generalize.suppressed"  # the rule by which the worker leaves records out to form classes
WAITING: Final = "generalize.waiting"  # of a run that was stopped: they will never be in one


def certify(ctx: Context, actor: str, run: str, table: str) -> dict[str, Any]:
    """The signed certificate of a table.

    Raises `Conflict` while rows of the run are still on their way, and where an export would be refused.
    """
    with ctx.connections() as conn:
        found = get_run(conn, run)
        known = certificates.get(conn, run, table)
        if known is not None and known.final:
            return known.document
        if found.state not in CERTIFIED:
            raise Conflict(f"run {run!r} is {found.state}; a certificate is of a run that is prepared or stopped")
        columns = plan_of(conn, run, table).columns
        totals = totals_of(conn, run).get(table, Totals())
        off = found.waives(table)  # then nothing is claimed
        noise = None if off else _noise(conn, found, table)
        url = address_of(conn)
    admit(ctx, run, table)
    methods, requests = asked_of(found, table)
    kinds = kinds_of(found, table)
    suppressed = sum(totals.dropped.get(rule, 0) for rule in (SUPPRESSED, WAITING))
    asked = [
        Asked(one, suppressed, partial(breadths_of, request=one, kinds=kinds))
        for one in (visible(columns, request) for request in requests)
        if one.quasi_identifiers
    ]
    counted = None if off else counted_by(found.spec, table, columns)
    examined = examine(frames(url, run, table), columns, asked, counted)
    whole = groups_of(found.spec, table, examined.rows, totals.withheld, counted, examined.fewest)
    if noise is not None:
        methods = (*methods, *noise_method(found.spec, table))
    examined = replace(examined, findings=[_with_presence(one, totals, examined.rows) for one in examined.findings])
    facts = replace(_facts(found, table, columns, methods, examined), noise=noise, groups=None if off else whole)
    document = make(facts, examined.findings)
    with ctx.connections() as conn:
        signed = sign(document, keys.signing_key(conn, ctx.master), document["issued"])
        certificates.put(conn, run, table, signed, found.ended_at is not None)
        audit.record(conn, actor, "certificate.made", run, _noted(table, examined))
    return signed


def get_certificate(ctx: Context, run: str, table: str) -> dict[str, Any] | None:
    """The certificate that was made last; None if none was."""
    with ctx.connections() as conn:
        get_run(conn, run)
        known = certificates.get(conn, run, table)
    return None if known is None else known.document


def get_public_key(ctx: Context) -> str:
    with ctx.connections() as conn:
        return public_key(keys.signing_key(conn, ctx.master))


def _noise(conn: Connection, run: Run, table: str) -> StatedNoise | None:
    """What was told with noise in the table, as the ledger has it."""
    asked = noise_of(table, run.spec) if table in run.spec.tables else None
    if asked is None:
        return None
    ledger = next((one.ledger for one in privacy.accounts(conn) if one.ledger.budget == asked.budget), None)
    told = privacy.told_of(conn, (run.run, table))
    if ledger is None or not told:
        raise Conflict(f"nothing was told of table {table!r} of run {run.run!r} yet")
    return stated_noise(run.spec, table, asked, ledger, told)


def _with_presence(finding: Finding, totals: Totals, rows: int) -> Finding:
    """With the bounds that the run told, if what it told them of are the very rows that are published."""
    asked = finding.request.presence
    if asked is None or totals.presence is None or rows != totals.prepared:
        return finding
    least, most = totals.presence
    return replace(finding, presence=Presence(asked.population, least, most))


def _noted(table: str, examined: Examined) -> dict[str, Any]:
    return {"table": table, "rows": examined.rows, "digest": examined.digest}


def _facts(
    run: Run, table: str, columns: Mapping[str, ColumnType], methods: Sequence[Method], examined: Examined
) -> Facts:
    return Facts(
        run=run.run,
        task=run.task,
        task_version=run.version,
        code_version=run.code_version,
        mode=run.mode,
        table=table,
        columns=columns,
        rows=examined.rows,
        digest=examined.digest,
        methods=methods,
        anonymized=bool(methods),
        issued=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        waiver=run.waiver,
    )
