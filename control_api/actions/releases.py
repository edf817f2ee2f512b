"""Releases: rows of a table that promises groups leave the review store, and nothing that left before tells more by it.

Always holds: what is exported is what was checked, since both are read at one moment; of each table of a task, and of
totals of the same records, one release is checked and kept at a time, in the transaction of its audit event; an earlier
one counts for ever, since what was published stays known. The same content once more is no new release. Tables that
promise nothing of groups are not looked at. What is told in messages are numbers of groups, never a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from control_api.actions.context import Context
from control_api.actions.released_rows import kept, made, related
from control_api.actions.waivers import open_rows
from control_api.store import audit, published, releases
from control_api.store.db import Connection
from control_api.store.outbox import plan_of
from control_api.store.outbox_export import Format, address_of, export
from control_api.store.releases import Release
from control_api.store.runs import Run, get_run
from processors.privacy.guarantees.requested import Request
from processors.privacy.releases.versions import Version, advice, beside, in_words, told
from schemas.errors import Conflict


@dataclass(frozen=True)
class Against:
    """A release that was compared, and what comparing tells: how much of each kind."""

    release: Release
    found: Mapping[str, int]

    def document(self) -> dict[str, Any]:
        one = self.release
        told = {"safe": not self.found, "found": dict(self.found)}
        return {"run": one.run, "table": one.table, "digest": one.digest, "at": one.at, **told}


@dataclass(frozen=True)
class Checked:
    """`table` is the one that the groups are promised of: also for the table that was set apart from it."""

    run: Run
    table: str
    k: int
    digest: str
    version: Version
    known: bool
    against: list[Against]

    @property
    def safe(self) -> bool:
        return not any(one.found for one in self.against)

    def document(self) -> dict[str, Any]:
        against = [one.document() for one in self.against]
        return {
            "run": self.run.run, "table": self.table, "guaranteed": True, "digest": self.digest,
            "rows": self.version.height, "released": self.known, "safe": self.safe, "against": against,
        }  # fmt: skip

    def refusal(self) -> str:
        worst = next(one for one in self.against if one.found)
        more = sum(bool(one.found) for one in self.against) - 1
        others = f", and {more} more" if more else ""
        of = "" if worst.release.table == self.table else f"table {worst.release.table} of "
        return (
            f"table {self.table} of run {self.run.run} can't leave: compared with what was exported of {of}run "
            f"{worst.release.run} on {worst.release.at:%Y-%m-%d}{others}, it tells groups of fewer than {self.k}: "
            f"{in_words(worst.found)}. {advice(worst.found, self.k)}"
        )


def release(ctx: Context, actor: str, run: str, table: str, form: Format, provenance: bool = False) -> Iterator[bytes]:
    """The table as a file, in pieces; raises `Conflict` where an earlier one beside it would tell on someone.

    One that is not anonymized takes the permission, and promises nothing that could be compared.
    """
    raw = open_rows(ctx, actor, run, table, "exporting")
    checked: Checked | None = None
    with ctx.connections() as conn:
        url = address_of(conn)
        found = get_run(conn, run)
        plan_of(conn, run, table)
        with published.moment(url) as at:
            checked = _check(conn, url, at, found, table, provenance)
            if checked is None or checked.safe:
                pieces = export(url, run, table, form, provenance, at)
                detail: dict[str, Any] = {"table": table, "format": form} | raw
                if checked is not None and checked.version.height:
                    releases.put(conn, actor, found.task, checked.table, run, checked.digest, checked.version)
                    detail["release"] = checked.digest
                audit.record(conn, actor, "outbox.exported", run, detail)
                return pieces
    with ctx.connections() as conn:
        against = [one.release.digest for one in checked.against if one.found]
        audit.record(conn, actor, "outbox.refused", run, {"table": table, "format": form, "against": against})
    raise Conflict(checked.refusal())


def check(ctx: Context, run: str, table: str, provenance: bool = False) -> dict[str, Any]:
    """What an export would be compared with, and what that tells. Nothing leaves and nothing is kept."""
    checked = _checked(ctx, run, table, provenance)
    if checked is None:
        return {"run": run, "table": table, "guaranteed": False, "safe": True, "against": []}
    return checked.document()


def admit(ctx: Context, run: str, table: str) -> None:
    """Raises `Conflict` where an export would: what is said of rows that may not leave may not either."""
    checked = _checked(ctx, run, table, provenance=False)
    if checked is not None and not checked.safe:
        raise Conflict(checked.refusal())


def list_releases(ctx: Context, run: str) -> list[Release]:
    """What left the review store of the tables of the run's task, from the first release on."""
    with ctx.connections() as conn:
        return releases.releases(conn, get_run(conn, run).task)


def _checked(ctx: Context, run: str, table: str, provenance: bool) -> Checked | None:
    with ctx.connections() as conn:
        url = address_of(conn)
        found = get_run(conn, run)
        plan_of(conn, run, table)
        with published.moment(url) as at:
            return _check(conn, url, at, found, table, provenance)


def _check(conn: Connection, url: str, at: str, run: Run, table: str, provenance: bool) -> Checked | None:
    """None for a table that promises nothing of groups."""
    of = kept(conn, run, table)
    if of is None:
        return None
    base = of.table
    releases.lock(conn, run.task, base if isinstance(of.how, Request) else of.how.family)
    version = made(url, at, run, of, provenance and base == table)
    digest = version.digest
    known = releases.known(conn, run.task, base, digest)
    first = _first(conn, run, base)
    against = []
    if not known:  # else everything that left since was compared with it
        earlier = releases.contents(conn, run.task, base)
        against = [Against(first[name], told(one, version)) for name, one in earlier]
        for other in related(conn, run, of):
            now = made(url, at, run, other, False)
            against += _beside(conn, run, base, version, other.table, now)
    return Checked(run, base, of.k, digest, version, known, against)


def _beside(conn: Connection, run: Run, table: str, version: Version, other: str, now: Version) -> Iterator[Against]:
    """What another table of the same records tells beside: it in a version that is not of now, and both in two."""
    first = _first(conn, run, other)
    both = now.digest in first
    for digest, one in releases.contents(conn, run.task, other):
        if digest != now.digest:
            earlier = [before for _, before in releases.contents(conn, run.task, table)] if both else []
            yield Against(first[digest], beside(version, one, now, earlier))


def _first(conn: Connection, run: Run, table: str) -> dict[str, Release]:
    """Of each content the release that was the first of it."""
    found: dict[str, Release] = {}
    for one in releases.releases(conn, run.task, table):
        found.setdefault(one.digest, one)
    return found
