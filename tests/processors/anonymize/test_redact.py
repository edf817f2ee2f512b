"""What is found in free text, what is not, and that all else of it stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.anonymize.findings import luhn, mod97
from processors.anonymize.runner import CompiledMethods

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
Run = Callable[..., pl.Series]
Compiled = Callable[..., CompiledMethods]
WrongFor = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mail a.b+c@sub.example.co.uk, please", "mail [EMAIL], please"),
        ("<ädä@exämple.org>;x@y.z", "<[EMAIL]>;[EMAIL]"),
        ("tel +49 (0)30 123-456 or 0049 30 123456 or (030) 1234567", "tel [PHONE] or [PHONE] or ([PHONE]"),
        ("call 555 123-4567 now", "call [PHONE] now"),
        ("cards 4111-1111-1111-1111, 378282246310005, 3782 822463 10005", "cards [CARD], [CARD], [CARD]"),
        ("4111 1111 1111 1111 123, 4111 1111 1111 1111 110", "[CARD] 123, [CARD]"),
        ("2 4111 1111 1111 1111 2", "2 [CARD] 2"),
        ("DE89 3704 0044 0532 0130 00 OK, gb82WEST12345698765432", "[IBAN] OK, [IBAN]"),
        ("::1 and 2001:db8::7, 10.0.0.1", "[IP] and [IP], [IP]"),
        ("2001:db8:: is ::ffff:192.0.2.9 and FE80::A", "[IP] is [IP] and [IP]"),
        ("https://ada:pw@example.org/x http://example.org/users/ada ftp://h/~ada", "[URL] [URL] [URL]"),
        ("https://example.org/find?a=1&email=x", "[URL]"),
        ("DOB: 1980-05-17; geb. am 3.4.80; date of birth May 17th, 1980", None),
        # what is none
        ("https://example.org/about at 12:30:45 on 17.05.2024, 05.03.2024", ""),
        ("order 4111111111111112 of DE88370400440532013000", ""),
        ("std::add at 12:30", ""),
        ("version 1.2.3, 300.1.1.1, @home, a@b, 12-34", ""),
        ("", ""),
    ],
)
def test_what_is_found(run: Run, text: str, told: str | None) -> None:
    out = run("string", [text], method="redact", columns=["v"])[0]
    if told is None:
        tag = "[DATE OF BIRTH]"
        told = f"DOB: {tag}; geb. am {tag}; date of birth {tag}"
    assert out == (told or text)


def test_dates_on_demand_only(run: Run) -> None:
    text = "on 17.05.2024, 17 May 2024 and 2024-05-17"
    assert run("string", [text], method="redact", columns=["v"])[0] == text
    out = run("string", [text], method="redact", columns=["v"], find=["date"])[0]
    assert out == "on [DATE], [DATE] and [DATE]"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("0123456789 -", min_size=13, max_size=25).map(lambda t: t + "0"), min_size=1, max_size=5))
def test_check_digits_of_cards(candidates: list[str]) -> None:
    def plainly(text: str) -> bool:
        digits = [int(c) for c in reversed(text) if c.isdigit()][:20]
        return sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0

    short = [text for text in candidates if sum(c.isdigit() for c in text) <= 20]
    assert luhn(pl.Series(short, dtype=pl.String)).to_list() == [plainly(text) for text in short]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.from_regex(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", fullmatch=True), min_size=1, max_size=5))
def test_check_digits_of_accounts(candidates: list[str]) -> None:
    sound = []
    for text in candidates:
        rest = int("".join(str(int(c, 36)) for c in f"{text[4:]}{text[:2]}00")) % 97
        sound.append(f"{text[:2]}{98 - rest:02}{text[4:]}")
    both = candidates + sound
    expected = [int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1 for text in both]
    assert mod97(pl.Series(both)).to_list() == expected
    assert all(expected[len(candidates) :])


pieces = st.sampled_from(["ada@example.org", "x", " ", "ä", ", ", "\0", "4111111111111111", "bob@b.io", "\n", "1"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.lists(pieces, max_size=6).map(" ".join)), max_size=6))
def test_all_else_stays(run: Run, texts: list[str | None]) -> None:
    out = run("string", texts, method="redact", columns=["v"], find=["email", "card"])
    told = run("string", texts, method="redact", columns=["v"], find=["email", "card"], **{"with": "token"})
    for text, tagged, tokened in zip(texts, out, told, strict=True):
        if text is None:
            assert tagged is tokened is None
            continue
        plain = re.sub(r"[a-z]+@[a-z.]+", "[EMAIL]", text)
        expected = plain.replace("4111111111111111", "[CARD]")
        assert tagged.replace("\ufffd", "\0") == expected
        assert re.sub("tok_[0-9a-f]{32}", "X", tokened).replace("\ufffd", "\0") == re.sub(r"\[[A-Z]+\]", "X", expected)


def test_tokens_meet_those_of_columns(run: Run) -> None:
    token = run("string", ["ada@example.org"], method="tokenize", columns=["v"], domain="d")[0]
    options = {"columns": ["v"], "with": "token", "domain": "d"}
    assert run("string", ["to ada@example.org!"], method="redact", **options)[0] == f"to {token}!"
    assert token not in run("string", ["to ada@example.org!"], key=OTHER, method="redact", **options)[0]


def test_the_records_own_names_and_given_words(compiled: Compiled) -> None:
    columns = {"first": {"type": "string"}, "number": {"type": "int64"}, "note": {"type": "string"}}
    method = {"method": "redact", "columns": ["note"], "words": ["Kim (jr.)", "acme"], "values_of": ["first", "number"]}
    rows = [
        ("Ada-Marie", 4711, "ADA met Marie and adalbert; no. 4711, 47110"),
        ("Bob", 12, "Ada is not here, kim (JR.) of Acme is, acmes not"),
        (None, None, "Ada"),
        ("O", 1, "o 1"),
        ("Éva", 77, "éva 77 ÉVA"),
    ]
    frame = pl.DataFrame(rows, schema=["first", "number", "note"], orient="row").with_columns(_id=pl.int_range(5))
    out = compiled(columns, method).apply(frame, KEY, window=False)
    assert out["note"].to_list() == [
        "[FIRST] met [FIRST] and adalbert; no. [NUMBER], 47110",
        "Ada is not here, [WORD] of [WORD] is, acmes not",
        "Ada",
        "o 1",
        "[FIRST] [NUMBER] [FIRST]",
    ]
    assert out.drop("note").equals(frame.drop("note"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"find": []}, "0: looks for nothing"),
        ({"find": ["poem"]}, "0.find.0: 'poem' does not fit"),
        ({"words": [" "]}, "0.words.0: is an empty word"),
        ({"values_of": ["v"]}, "0.values_of.0: v would be replaced whole; suppress it instead"),
        ({"values_of": ["x"]}, "0.values_of.0: x is no column"),
        ({"domain": "d"}, "0.domain: has a domain without tokens; write with: token"),
    ],
)
def test_searches_that_make_no_sense(wrong: WrongFor, options: dict[str, Any], told: str) -> None:
    (mistake,) = wrong({"v": {"type": "string"}}, {"method": "redact", "columns": ["v"], **options})
    assert mistake.startswith(told)
