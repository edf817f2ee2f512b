"""Dead letters: found, shown to whoever may see them, corrected, sent again, discarded; all of it audited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from control_api.actions import dead_letters, transitions
from control_api.actions.dead_letters import Filter
from control_api.store.db import Connection
from control_api.store.keys import get_key
from schemas.errors import Conflict, NotFound
from schemas.memo import MEMO, Memo, Place
from schemas.run import REPLAY_LANE
from schemas.sealing import unseal
from tests.control_api.prepared import add_letters

pytestmark = pytest.mark.stack

MASTER = bytes(32)
RECORDS = [{"id": n, "name": f"secret{n}"} for n in range(3)]


@pytest.fixture
def run(conn: Connection, new_run: Callable[..., str]) -> str:
    return new_run()


@pytest.fixture
def letters(conn: Connection, run: str) -> list[str]:
    return add_letters(conn, run, RECORDS)


def audited(conn: Connection, action: str) -> list[dict[str, Any]]:
    return [d for (d,) in conn.execute("SELECT detail FROM metal.audit WHERE action = %s ORDER BY seq", (action,))]


def replayed(conn: Connection, run: str) -> list[dict[str, Any]]:
    key = get_key(conn, MASTER, run)
    rows = conn.execute("SELECT letter, sealed FROM metal.replays WHERE run = %s ORDER BY seq", (run,))
    return [orjson.loads(unseal(key, sealed, letter)) for letter, sealed in rows]


def test_lists_by_table_rule_and_state_page_by_page(conn: Connection, run: str, letters: list[str]) -> None:
    others = add_letters(conn, run, RECORDS[:1], rule="type")
    first = dead_letters.list_letters(conn, run, limit=2)
    rest = dead_letters.list_letters(conn, run, limit=9, cursor=first[-1].id)
    assert [letter.id for letter in first + rest] == sorted(letters + others)
    assert [one.id for one in dead_letters.list_letters(conn, run, Filter(rule="type"))] == others
    assert dead_letters.list_letters(conn, run, Filter(table="other")) == []
    assert dead_letters.list_letters(conn, run, Filter(state="discarded")) == []
    assert first[0].position == {"source": "file", "split": "things.csv", "line": 2}
    assert dead_letters.count_letters(conn, run) == {"open": 4, "replayed": 0, "discarded": 0}
    with pytest.raises(NotFound, match="no run"):
        dead_letters.list_letters(conn, "nobody")


def test_revealing_is_audited_without_the_record(conn: Connection, run: str, letters: list[str]) -> None:
    assert dead_letters.reveal(conn, MASTER, "ann", run, letters[1]) == RECORDS[1]
    row = conn.execute("SELECT actor, subject, detail FROM metal.audit WHERE action = 'deadletter.revealed'").fetchone()
    assert row == ("ann", f"{run}/{letters[1]}", {"table": "thing"})
    with pytest.raises(NotFound):
        dead_letters.reveal(conn, MASTER, "ann", run, "nothing")


def test_what_a_letter_remembers_for_the_engine_is_shown_to_nobody(conn: Connection, run: str) -> None:
    (letter,) = add_letters(conn, run, [RECORDS[1] | {MEMO: Memo(Place(1, 2, 3)).told()}])
    assert dead_letters.reveal(conn, MASTER, "ann", run, letter) == RECORDS[1]
    dead_letters.replay(conn, MASTER, "ann", run, [letter], {"id": 7})
    assert replayed(conn, run) == [RECORDS[1] | {"id": 7}]


def test_a_replay_is_sealed_told_and_audited(conn: Connection, run: str, letters: list[str]) -> None:
    done = dead_letters.replay(conn, MASTER, "ann", run, letters[:2], {"id": 7})
    assert done == 2
    assert replayed(conn, run) == [{"id": 7, "name": "secret0"}, {"id": 7, "name": "secret1"}]
    assert dead_letters.count_letters(conn, run) == {"open": 1, "replayed": 2, "discarded": 0}
    assert conn.execute("SELECT event->>'kind' FROM metal.control WHERE run = %s", (run,)).fetchall() == [("replay",)]
    assert audited(conn, "deadletter.replayed") == [{"letters": 2, "columns": ["id"], "corrected": 0}]
    lane = conn.execute("SELECT done FROM metal.lanes WHERE run = %s AND lane = %s", (run, REPLAY_LANE)).fetchone()
    assert lane == (False,)
    raw = conn.execute("SELECT string_agg(encode(sealed, 'escape'), '') FROM metal.replays").fetchone()
    assert raw is not None
    assert "secret" not in raw[0]


def test_whole_corrected_records_and_all_of_a_rule(conn: Connection, run: str, letters: list[str]) -> None:
    others = add_letters(conn, run, [{"_raw": "1;2;3"}], rule="type")
    with pytest.raises(Conflict, match="whole record"):
        dead_letters.replay(conn, MASTER, "ann", run, others, {"id": 1})
    conn.rollback()
    corrected = {others[0]: {"id": 1, "name": "a"}}
    assert dead_letters.replay(conn, MASTER, "ann", run, None, None, corrected, Filter(rule="type")) == 1
    assert replayed(conn, run) == [{"id": 1, "name": "a"}]
    assert dead_letters.replay(conn, MASTER, "ann", run, None) == 3
    assert dead_letters.replay(conn, MASTER, "ann", run, None) == 0


def test_what_is_closed_stays_closed(conn: Connection, run: str, letters: list[str]) -> None:
    dead_letters.discard(conn, "ann", run, letters[:1])
    for act in (
        lambda: dead_letters.discard(conn, "ann", run, letters[:1]),
        lambda: dead_letters.replay(conn, MASTER, "ann", run, letters),
    ):
        with pytest.raises(Conflict, match="discarded already"):
            act()
    assert dead_letters.count_letters(conn, run) == {"open": 2, "replayed": 0, "discarded": 1}
    with pytest.raises(NotFound, match="no dead letter nothing"):
        dead_letters.discard(conn, "ann", run, ["nothing"])


def test_what_the_review_store_refused_cannot_go_in_again(conn: Connection, run: str, letters: list[str]) -> None:
    conn.execute("UPDATE metal.dead_letters SET stage = 'review' WHERE id = %s", (letters[0],))
    with pytest.raises(Conflict, match="as it was to be stored"):
        dead_letters.replay(conn, MASTER, "ann", run, None)


def prepare(conn: Connection, run: str) -> None:
    conn.execute("INSERT INTO metal.watermarks VALUES (%s, 'merge/0', 1, 0, true)", (run,))
    transitions.mark_prepared(conn, "test", run)


def test_a_prepared_run_ends_with_its_last_letter(conn: Connection, run: str, letters: list[str]) -> None:
    prepare(conn, run)
    dead_letters.discard(conn, "ann", run, letters[:2])
    assert conn.execute("SELECT ended_at FROM metal.runs WHERE run = %s", (run,)).fetchone() == (None,)
    dead_letters.discard(conn, "ann", run, letters[2:])
    row = conn.execute("SELECT ended_at IS NOT NULL FROM metal.runs WHERE run = %s", (run,)).fetchone()
    assert row == (True,)
    with pytest.raises(Conflict, match="is over"):
        dead_letters.discard(conn, "ann", run, None)
    with pytest.raises(Conflict, match="is over"):
        dead_letters.replay(conn, MASTER, "ann", run, None)


def test_a_replayed_letter_keeps_the_run_open_until_it_has_come_out(
    conn: Connection, run: str, letters: list[str]
) -> None:
    from control_api.settle import settle

    prepare(conn, run)
    dead_letters.replay(conn, MASTER, "ann", run, None)
    assert settle(conn, run) == "open"  # its producers have something to say again
    conn.execute("UPDATE metal.watermarks SET final = true, closed = 1 WHERE run = %s", (run,))
    assert settle(conn, run) == "prepared"  # the lane has not sent all
    lane = "UPDATE metal.lanes SET done = true, checkpoint = %s WHERE run = %s AND lane = -1"
    conn.execute(lane, ('{"epoch": 2}', run))
    assert settle(conn, run) == "prepared"  # what it sent has not come out
    conn.execute("UPDATE metal.watermarks SET closed = 2 WHERE run = %s", (run,))
    assert settle(conn, run) == "ended"
