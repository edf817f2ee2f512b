"""The text of a task file: what is read as what, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.task.components import Components
from schemas.task.load import lint
from schemas.task.text import MAX_BYTES, dotted, parse, plain

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("yes", "yes"), ("y", "y"), ("true", True), ("False", False), ("~", None),
        ("null", None), ("", None), ("010", 10), ("0o10", 8), ("0x1F", 31), ("-3", -3), ("1_000", "1_000"),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")),
        ("1.", 1.0), ("=", "="),
    ],
)  # fmt: skip
def test_plain_values_follow_yaml_1_2(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


def test_keys_are_always_text_and_quoted_values_too() -> None:
    document = parse("on: 1\n1: 2\nnull: '3'\n")
    assert document.data == {"on": 1, "1": 2, "null": "3"}


@pytest.mark.parametrize(
    ("text", "line", "parts"),
    [
        ("", 1, "the file is empty"),
        ("# nothing\n\n", 1, "the file is empty"),
        ("a: 1\n\tb: 2\n", 2, "never with tabs"),
        ("a: [1, 2\n", 2, "expected"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key a stands here twice (first in line 1)"),
        ("a: {b: 1,\n b: 2}\n", 2, "the key b stands here twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge keys"),
        ("a: !!int 3\n", 1, "the tag"),
        ("a: !!python/object:os.system x\n", 1, "the tag"),
        ("a: *x\n", 1, "alias *x has no value yet"),
        ("a: &x [*x]\n", 1, "alias *x has no value yet"),
        ("? [a, b]\n: 1\n", 1, "not a plain word"),
        ("a: 1\nb: \x07\n", 2, "unprintable"),
        ("a: " + "[" * 60 + "]" * 60, 1, "nested more than"),
        ("a: " + "[" * 20_000, 1, "nested more than"),
        (BOMB, 5, "more than 50000 values"),
        ("a: " + "9" * 5000, 1, "too many digits"),
    ],
)
def test_what_is_refused(text: str, line: int, parts: str) -> None:
    found = parse(text).findings
    assert found
    assert parts in f"{found[0].wrong}; {found[0].right}"
    assert found[0].line == line


def test_anchors_are_allowed() -> None:
    document = parse("a: &x {b: [1]}\nc: *x\n")
    assert document.data == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert document.line(("c", "b", 0)) == 2


def test_every_place_has_its_line() -> None:
    document = parse("a:\n  - b: 1\n    c: {d: 2,\n        e: 3}\n")
    assert document.line(("a", 0, "c", "e")) == 4
    assert document.line(("a", 0, "c", "nowhere")) == 3
    assert dotted(("a", 0, "c")) == "a[0].c"


@pytest.mark.parametrize(
    ("raw", "line", "part"),
    [
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        ("a: ä".encode("utf-16"), 1, "not UTF-8"),
        (b"# " + b"x" * MAX_BYTES, 1, "bytes"),
        (b"- a\n", 1, "a task is a mapping"),
        (b"just text\n", 1, "a task is a mapping"),
    ],
)
def test_files_that_hold_no_task(raw: bytes, line: int, part: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes(raw)
    (found,) = lint(path, Components())
    assert part in f"{found.wrong}; {found.right}"
    assert (found.file, found.line) == (str(path), line)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes("\ufefftask: 1x\n".encode())
    assert [mistake.path for mistake in lint(path, Components())] == ["task", "(file)"]


@given(st.text(max_size=200) | st.text(alphabet="a:-[]{}&*!<>|'\"#,? \n\t%@`0", max_size=60))
def test_any_text_is_answered(text: str) -> None:
    document = parse(text)
    for finding in document.findings:
        assert finding.line is None or 1 <= finding.line <= len(text.splitlines()) + 1
