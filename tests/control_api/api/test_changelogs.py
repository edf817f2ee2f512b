from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_api.api.changelogs import Changelogs

AT = ("state", 0)
# What runs do, and looks in two halves: first where the log ends, then which runs are open.
EVENTS = st.lists(st.tuples(st.sampled_from(["begin", "write", "end", "ask", "look"]), st.integers(0, 5)), max_size=60)


@given(EVENTS)
def test_no_entry_of_an_open_run_goes_and_none_of_an_ended_one_stays_for_ever(
    events: list[tuple[str, int]],
) -> None:
    log: list[int] = []
    open_runs: list[int] = []
    changelogs, asked, begun = Changelogs(), 0, 0

    def look() -> int:
        found = changelogs.over({AT: asked}, {str(run) for run in open_runs})
        assert len(changelogs._marks) <= len(open_runs) + 1
        return found.get(AT, 0)

    for what, which in events:
        if what == "begin":
            open_runs.append(begun)
            begun += 1
        elif what == "write" and open_runs:
            log.append(open_runs[which % len(open_runs)])
        elif what == "end" and open_runs:
            open_runs.pop(which % len(open_runs))
        elif what == "ask":
            asked = len(log)
        elif what == "look":
            assert not set(log[: look()]) & set(open_runs)
    open_runs.clear()
    asked = len(log)
    assert look() == max(0, len(log) - 1)


def test_of_a_log_that_went_back_nothing_is_remembered() -> None:
    changelogs = Changelogs()
    assert changelogs.over({AT: 1000}, set()) == {AT: 999}
    assert changelogs.over({AT: 10}, {"new"}) == {}
    assert changelogs.over({AT: 2000}, {"new"}) == {}
    assert changelogs.over({AT: 2001}, set()) == {AT: 2000}


def test_a_run_that_goes_on_does_not_hold_what_was_there_before_it() -> None:
    changelogs = Changelogs()
    assert changelogs.over({AT: 10}, {"first"}) == {}
    assert changelogs.over({AT: 20}, {"first", "long"}) == {}
    assert changelogs.over({AT: 30}, {"long", "third"}) == {AT: 9}  # none of these is known to begin behind 20
    for n in range(40, 100):
        assert changelogs.over({AT: n}, {"long", str(n)}) == {AT: 9}
        assert changelogs.over({AT: n}, {"long"}) == {AT: 9}
    assert changelogs.over({AT: 100}, {"last"}) == {AT: 98}
