"""A writer's connection to PostgreSQL: settings that hold for all it does, and who may work on a partition.

A commit doesn't wait for the disk unless a transaction asks for it: if the database forgets the last rows in a
crash it forgets their offset too, and they are read again.
"""

from __future__ import annotations

from typing import Any, Final
from zlib import crc32

import psycopg
from psycopg import errors

from connectors.review.messages import Held, Place
from connectors.review.rows import STAGE

Connection = psycopg.Connection[Any]

APPLICATION: Final = "metal-review"
_SETTINGS: Final = (
    "-c synchronous_commit=off -c TimeZone=UTC -c DateStyle=ISO -c bytea_output=hex -c lock_timeout=5s"
    " -c standard_conforming_strings=on"
)


def open_session(url: str) -> Connection:
    conn = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=10,
        options=_SETTINGS,
        application_name=APPLICATION,
        client_encoding="UTF8",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
    )
    conn.execute(STAGE)
    return conn


def lock(conn: Connection, place: Place) -> None:
    """One transaction at a time works on a partition."""
    try:
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", _number(place))
    except errors.LockNotAvailable as error:
        raise Held(place) from error


def evict(conn: Connection, place: Place) -> None:
    """Disconnects who holds a partition too long, stopped in its tracks, say: the group has given it to us."""
    conn.execute(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND a.application_name = %s "
        "AND l.classid = (%s::int8 & 4294967295)::oid AND l.objid = %s::int8::oid "
        "AND a.datname = current_database() AND l.pid <> pg_backend_pid()",
        (APPLICATION, *_number(place)),
    )


def _number(place: Place) -> tuple[int, int]:
    topic, partition = place
    return crc32(topic.encode()) - 2**31, partition
