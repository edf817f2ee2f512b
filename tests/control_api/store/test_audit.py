from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.store import audit
from control_api.store.audit import Broken, Entry, Head
from control_api.store.db import Connection
from schemas.events import decode, encode


@pytest.fixture
def chain(conn: Connection) -> Connection:
    for n in range(1, 7):
        audit.record(conn, f"actor{n % 2}", "thing.done", f"thing/{n}", {"n": n, "x": 0.1, "text": "é", "deep": [None]})
    conn.commit()
    assert audit.verify(conn) is None
    conn.execute("ALTER TABLE metal.audit DISABLE TRIGGER USER")  # as somebody with the right to would
    return conn


def rehash(conn: Connection, seq: int) -> None:
    """What a forger who knows how the hash is made would do."""
    entry = audit.search(conn, after=seq - 1, limit=1)[0]
    conn.execute("UPDATE metal.audit SET hash = %s WHERE seq = %s", (entry.expected(), seq))


TAMPERING = {
    "edit": (["UPDATE metal.audit SET detail = '{\"n\": 7}' WHERE seq = 3"], 3),
    "edit the actor": (["UPDATE metal.audit SET actor = 'nobody' WHERE seq = 4"], 4),
    "edit the time": (["UPDATE metal.audit SET at = at + interval '1 us' WHERE seq = 1"], 1),
    "delete": (["DELETE FROM metal.audit WHERE seq = 3"], 3),
    "delete the first": (["DELETE FROM metal.audit WHERE seq = 1"], 1),
    "truncate": (["DELETE FROM metal.audit WHERE seq > 4"], 5),
    "delete all": (["DELETE FROM metal.audit"], 1),
    "reorder": (
        [
            "UPDATE metal.audit SET seq = 100 WHERE seq = 2",
            "UPDATE metal.audit SET seq = 2 WHERE seq = 3",
            "UPDATE metal.audit SET seq = 3 WHERE seq = 100",
        ],
        2,
    ),
    "insert": (
        [
            "UPDATE metal.audit SET seq = -seq WHERE seq > 3",
            "INSERT INTO metal.audit SELECT 4, at, actor, action, subject, detail, previous, hash FROM metal.audit"
            " WHERE seq = 3",
            "UPDATE metal.audit SET seq = 1 - seq WHERE seq < 0",
        ],
        4,
    ),
    "append": (
        [
            "INSERT INTO metal.audit SELECT 7, at, actor, action, subject, detail, hash, 'made up' FROM metal.audit"
            " WHERE seq = 6"
        ],
        7,
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_where_it_begins(chain: Connection, name: str) -> None:
    statements, first = TAMPERING[name]
    for statement in statements:
        chain.execute(statement.encode())
    broken = audit.verify(chain)
    assert broken is not None
    assert broken.seq == first


def test_an_edit_with_its_hash_made_again_breaks_the_next_entry(chain: Connection) -> None:
    chain.execute("UPDATE metal.audit SET subject = 'other' WHERE seq = 3")
    rehash(chain, 3)
    assert audit.verify(chain) == Broken(4, "it does not follow the entry before it")


def test_a_last_entry_made_again_differs_from_the_head(chain: Connection) -> None:
    chain.execute("UPDATE metal.audit SET subject = 'other' WHERE seq = 6")
    rehash(chain, 6)
    found = audit.verify(chain)
    assert found is not None
    assert found.seq == 6


def test_a_log_rewritten_as_a_whole_betrays_itself_to_a_witness(chain: Connection) -> None:
    witness = audit.head(chain)
    chain.execute("DELETE FROM metal.audit WHERE seq > 2")
    head = audit.search(chain, limit=1)[0]
    chain.execute("UPDATE metal.audit_head SET seq = 2, hash = %s", (head.hash,))
    for n in range(6):
        audit.record(chain, "forger", "nothing.wrong", str(n), {})
    assert audit.verify(chain) is None
    found = audit.verify(chain, witness)
    assert found is not None
    assert found.seq == witness.seq
    assert audit.verify(chain, Head(99, "0" * 64)) is not None


def test_the_table_refuses_changes(conn: Connection) -> None:
    audit.record(conn, "a", "b", "c", {})
    conn.commit()
    for statement in ("UPDATE metal.audit SET actor = 'x'", "DELETE FROM metal.audit", "TRUNCATE metal.audit"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            conn.execute(statement.encode())
        conn.rollback()
    conn.execute("UPDATE metal.audit SET relayed = true")


def test_an_entry_stands_or_falls_with_its_transaction(conn: Connection) -> None:
    audit.record(conn, "a", "kept", "c", {})
    conn.commit()
    audit.record(conn, "a", "undone", "c", {})
    conn.rollback()
    audit.record(conn, "a", "kept.too", "c", {})
    conn.commit()
    assert [entry.action for entry in audit.search(conn)] == ["kept.too", "kept"]
    assert audit.verify(conn) is None


def test_appenders_at_once_make_one_chain(url: str, conn: Connection) -> None:
    def append(name: int) -> None:
        with psycopg.connect(url) as own:
            for n in range(10):
                audit.record(own, f"actor{name}", "raced", str(n), {})
                own.commit()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    assert audit.head(conn).seq == 40
    assert audit.verify(conn) is None


def test_search(conn: Connection) -> None:
    for n in range(5):
        audit.record(conn, f"a{n % 2}", f"run.{'started' if n < 3 else 'stopped'}", "r", {})

    def find(**how: Any) -> list[int]:
        return [entry.seq for entry in audit.search(conn, **how)]

    assert find() == [5, 4, 3, 2, 1]
    assert find(actor="a1") == [4, 2]
    assert find(action="run.sto") == [5, 4]
    assert find(action="run.started", limit=2) == [3, 2]
    assert find(before=3) == [2, 1]
    assert find(after=3) == [4, 5]
    assert find(subject="other") == []
    at = audit.search(conn, after=2, limit=1)[0].at
    assert find(since=at) == [5, 4, 3]
    assert find(until=at) == [2, 1]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "é"]), inner, max_size=3),
    max_leaves=8,
)


def test_whatever_a_detail_holds_is_verified(conn: Connection) -> None:
    @given(values)
    def check(value: object) -> None:
        audit.record(conn, "a", "b", "c", {"value": value})

    check()
    assert audit.head(conn).seq >= 50
    assert audit.verify(conn) is None


def test_a_relayed_entry_can_be_checked_by_its_reader(conn: Connection) -> None:
    audit.record(conn, "a", "b", "c", {"n": 1.5, "k": ["é"]})
    entry = audit.search(conn)[0]
    event = decode("audit", encode("audit", entry.event()))
    read = {**event, "detail": json.loads(event["detail"]), "at": datetime.fromisoformat(event["at"])}
    assert Entry(**read).expected() == entry.hash
