from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from pyld import jsonld

from processors.anonymize.generalize import Generalize
from processors.anonymize.runner import compile_methods
from processors.privacy.certificates import certificate
from processors.privacy.certificates.certificate import Facts, MalformedError, make, read, request_of, used
from processors.privacy.certificates.comparison import compare
from processors.privacy.certificates.finding import Finding, breadths_of, compact, find
from processors.privacy.certificates.stated_groups import Groups, withheld
from processors.privacy.certificates.statement import Statement
from processors.privacy.guarantees.requested import Closeness, Diversity, Presence, Request, requests_of
from processors.privacy.measured.breadth import Breadth
from schemas.columns import ColumnType
from schemas.task.model import Column, Method
from schemas.waiver import Waiver

COLUMNS: dict[str, ColumnType] = {"age": "int64", "city": "string", "illness": "string"}
ROWS = pl.DataFrame(
    {"age": [20, 20, 30, 30, 30], "city": ["x", "x", "y", "y", "y"], "illness": ["a", "b", "a", "b", None]}
)
REQUEST = Request(
    ("age", "city"),
    k=2,
    diversity=(Diversity("illness", 2.0), Diversity("illness", 2.0, "recursive", 3.0)),
    closeness=(Closeness("illness", 0.5),),
    suppression_limit=0.2,
)


def facts(**changed: Any) -> Facts:
    given: dict[str, Any] = {
        "run": "r-aaaaaaaa", "task": "r", "task_version": 3, "code_version": "1.2", "mode": "snapshot", "table": "t",
        "columns": COLUMNS, "rows": 5, "digest": "0" * 64, "anonymized": True, "issued": "2026-11-21T00:00:00Z",
        "methods": [Method(method="mask", columns={"city": {}}), Method(method="suppress", columns=["age"])],
    }  # fmt: skip
    return Facts(**given | changed)


def finding(request: Request = REQUEST, rows: pl.DataFrame = ROWS, suppressed: int = 1) -> Finding:
    return find(rows, request, suppressed)


def test_it_states_what_was_measured() -> None:
    document = make(facts(), [finding()])
    (guarantee,) = document["guarantees"]
    assert guarantee["quasiIdentifiers"] == ["age", "city"]
    assert guarantee["reached"]["k"] == 2
    assert [one["l"] for one in guarantee["reached"]["diversity"]] == [2.0, 2.0]
    assert guarantee["reached"]["diversity"][1]["c"] == 1.0  # of equal frequencies
    assert guarantee["reached"]["closeness"][0]["t"] == pytest.approx(0.2)
    assert guarantee["references"] == [
        {"column": "illness", "values": 3, "distribution": [[None, 1], ["a", 2], ["b", 2]]}
    ]
    assert guarantee["loss"] == {"classes": 2, "averageClassSize": 2.5, "discernibility": 4 + 9 + 6}
    assert guarantee["suppression"] == {"records": 1, "share": 1 / 6, "limit": 0.2}
    assert [one["method"] for one in document["methods"]] == ["suppress", "mask"]  # in the order applied


def test_it_reads_back_and_compares_equal() -> None:
    statement = read(make(facts(), [finding()]))
    assert request_of(statement.guarantees[0]) == REQUEST
    assert compare(statement, 5, "0" * 64, [finding()]) == []
    assert [one.kind for one in compare(statement, 5, "1" * 64, [finding()])] == ["digest"]


def test_every_member_is_a_term_of_linked_data() -> None:
    """Expanded with the context that it carries, nothing is lost, and what is said of it stands under known terms."""
    document = make(facts(), [finding()])
    (expanded,) = jsonld.expand(document)
    assert expanded["@type"] == ["urn:x-metal:privacy#Certificate"]
    (release,) = expanded["http://www.w3.org/ns/prov#hadPrimarySource"]
    assert release["@type"] == ["http://www.w3.org/ns/dcat#Dataset"]
    assert len(release["http://www.w3.org/ns/csvw#column"][0]["@list"]) == 3
    back = jsonld.compact(expanded, document["@context"])
    assert leaves(back) == leaves(document)


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(leaves(one) for name, one in value.items() if name != "@context")
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def test_a_release_without_groups_has_its_methods_and_its_digest() -> None:
    document = make(facts(), [])
    assert (document["guarantees"], document["anonymized"]) == ([], True)
    assert make(facts(anonymized=False), [])["methods"] == []
    assert read(document).release.digest.value == "0" * 64


def test_an_aggregated_release_tells_how_small_groups_were_handled() -> None:
    told = Groups(
        small_groups="suppress", k=5, subject="order.customer", beside=["open"], published=5,
        withheld=withheld({"small": 2, "complement": 3}), counted="orders", fewest=7,
    )  # fmt: skip
    document = make(facts(groups=told), [])
    assert document["groups"] == {
        "smallGroups": "suppress", "k": 5, "subject": "order.customer", "beside": ["open"], "published": 5,
        "withheld": {"groups": 5, "small": 2, "complementary": 3}, "counted": "orders", "fewest": 7,
    }  # fmt: skip
    assert leaves(jsonld.compact(jsonld.expand(document), document["@context"])) == leaves(document)
    statement = read(document)
    assert statement.groups == told
    assert compare(statement, 5, "0" * 64, [], 7) == []
    assert [one.message for one in compare(statement, 5, "0" * 64, [], 4)] == [
        "the fewest records of a group are 4, the certificate says 7",
        "a group has 4 records; 5 were requested",
    ]
    assert [one.kind for one in compare(statement, 4, "0" * 64, [], 7)] == ["rows", "groups"]
    forged = document | {"groups": document["groups"] | {"withheld": {"groups": 4, "small": 2, "complementary": 3}}}
    assert [one.kind for one in compare(read(forged), 5, "0" * 64, [], 7)] == ["groups"]


def test_an_empty_release_breaks_nothing() -> None:
    nothing = finding(rows=ROWS.clear(), suppressed=0)
    assert list(nothing.misses()) == []
    assert compare(read(make(facts(rows=0), [nothing])), 0, "0" * 64, [nothing]) == []


def test_what_is_not_reached_is_told() -> None:
    asked = Request(
        ("age",),
        k=3,
        diversity=(Diversity("illness", 3.0, "recursive", 1.0), Diversity("illness", 2.5, "entropy")),
        closeness=(Closeness("illness", 0.1),),
        suppression_limit=0.1,
    )
    assert [kind for kind, _ in finding(asked).misses()] == ["k", "l", "l", "t", "suppression"]
    assert "c" not in make(facts(), [finding(asked)])["guarantees"][0]["reached"]["diversity"][0]  # it is infinite


def test_long_hierarchies_are_told_by_their_digest() -> None:
    rows = [[str(n), "all"] for n in range(60)]
    told = used(Method(method="generalize", columns={"city": {"rows": rows, "level": 1}}))
    assert told.columns == ["city"]
    assert set(told.parameters["columns"]["city"]["rows"]) == {"sha256", "length"}
    assert told.parameters["columns"]["city"]["level"] == 1
    assert used(Method(method="perturb", columns={"n": {"scale": 2**70}})).parameters["columns"]["n"]["scale"]


@pytest.mark.parametrize(
    "change", [{"guarantees": 1}, {"@context": {}}, {"extra": 1}, {"release": {}}, {"issued": None}]
)
def test_what_is_no_certificate_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read(make(facts(), []) | change)
    with pytest.raises(MalformedError):
        read([])


def test_requests_are_read_however_they_are_written() -> None:
    def of(**options: Any) -> Request:
        (found,) = requests_of([Method(method="generalize", quasi_identifiers=["a"], **options)])
        return found

    three = (Diversity("s", 3.0),)
    assert of(l=3, sensitive="s").diversity == three
    assert of(l={"l": 3, "column": "s"}).diversity == three
    assert of(l={"s": 3}).diversity == three
    assert of(l=[{"l": 3, "columns": ["s"]}]).diversity == three
    assert of(l={"s": {"kind": "recursive", "l": 3, "c": 2}}).diversity == (Diversity("s", 3.0, "recursive", 2),)
    assert of(t=0.2, sensitive=["s", "u"]).closeness == (Closeness("s", 0.2), Closeness("u", 0.2))
    assert of(t={"s": {"t": 0.2, "distance": "ordered"}}).closeness == (Closeness("s", 0.2, "ordered"),)
    assert of(k=5, subject="who", suppression_limit=0) == Request(("a",), 5, "who", suppression_limit=0.0)
    presence = {"population": {"table": "citizen"}, "delta": [0, 0.5]}
    assert of(presence=presence).presence == Presence("citizen", 0.0, 0.5)
    assert requests_of([Method(method="mask", columns={"a": {}})]) == ()


def test_presence_is_stated_as_asked_and_as_reached_and_by_whose_evidence() -> None:
    asked = replace(REQUEST, presence=Presence("citizen", 0.0, 0.5))
    document = make(facts(), [replace(finding(asked), presence=Presence("citizen", 0.1, 0.25))])
    (guarantee,) = document["guarantees"]
    told = {"population": "citizen", "least": 0.0, "most": 0.5, "evidence": "run"}
    assert guarantee["requested"]["presence"] == told
    assert guarantee["reached"]["presence"] == {**told, "least": 0.1, "most": 0.25}
    again = finding(request_of(read(document).guarantees[0]))  # whoever checks it hasn't the population
    assert compare(read(document), facts().rows, facts().digest, [again]) == []
    for change, says in (
        ({"most": 0.6}, "presence in citizen is from 0.1 to 0.6; from 0 to 0.5 was requested"),
        ({"least": 0.3}, "presence in citizen is from 0.3 to 0.25; from 0 to 0.5 was requested"),
        ({"least": -0.1}, "presence in citizen is from -0.1 to 0.25; from 0 to 0.5 was requested"),
        ({"population": "town"}, "presence in town is from 0.1 to 0.25; that was not requested"),
    ):
        forged = read(document)
        own = forged.guarantees[0].reached.presence
        assert own is not None
        level = forged.guarantees[0].reached.model_copy(update={"presence": own.model_copy(update=change)})
        one = forged.guarantees[0].model_copy(update={"reached": level})
        forged = forged.model_copy(update={"guarantees": [one]})
        assert [(one.kind, one.message) for one in compare(forged, facts().rows, facts().digest, [again])] == [
            ("presence", f"in classes by {', '.join(REQUEST.quasi_identifiers)} {says}")
        ]
    older = make(facts(), [finding(asked)])
    assert "presence" not in older["guarantees"][0]["reached"]
    assert compare(read(older), facts().rows, facts().digest, [again]) == []


def test_pieces_are_compacted_to_what_is_measured() -> None:
    columns: dict[str, ColumnType] = {"a": "string", "n": "decimal", "who": "string", "more": "string"}
    schema = {"a": pl.String, "n": pl.Decimal(38, 2), "who": pl.String, "more": pl.String}
    rows = pl.DataFrame({"a": ["x", None], "n": ["1.50", "2"], "who": ["p", None], "more": ["", ""]}).cast(schema)
    request = Request(("a", "n"), subject="who")
    pieces = [compact(one, columns, [request]) for one in (rows.clear(), rows, rows)]
    whole = pl.concat(pieces)
    assert whole.columns == ["a", "n", "who"]
    measured = find(whole, request, 0).measured
    assert (measured.classes, measured.k_rows, measured.k_subjects) == (2, 2, 1)


def test_text_may_be_ordered() -> None:
    rows = ROWS.with_columns(pl.col("illness").cast(pl.Categorical))
    asked = Request(("age",), closeness=(Closeness("illness", 0.9, "ordered"),))
    declared = Request(("age",), closeness=(Closeness("illness", 0.9, "ordered", ("b", "none", "a")),))
    plain, other = (find(rows, one, 0) for one in (asked, declared))
    # classes {a, b} and {a, b, null} against {2 a, 2 b, null}: of null, a, b and of null, b, none, a
    assert plain.closeness(asked.closeness[0]).t == pytest.approx((1 / 5 + 1 / 10) / 2)
    assert other.closeness(declared.closeness[0]).t == pytest.approx((1 / 5 + 1 / 10 + 1 / 10) / 3)
    numbers = Request(("city",), closeness=(Closeness("age", 0.9, "ordered", ("30", "20")),))
    assert find(ROWS, numbers, 0).closeness(numbers.closeness[0]).t == pytest.approx(3 / 5)


@pytest.mark.parametrize("search", ["mondrian", "full_domain"])
def test_what_the_engine_forms_is_what_its_certificate_finds(search: str) -> None:
    """The groups of `generalize`, with nulls, subjects, text in order and suppression, measured as published."""
    columns: dict[str, Any] = {
        "who": {"type": "int64"}, "age": {"type": "int64"}, "day": {"type": "date"}, "city": {"type": "string"},
        "zip": {"type": "string"}, "grade": {"type": "string"},
    }  # fmt: skip
    cities = [["Oslo", "Norway", "*"], ["Bergen", "Norway", "*"], ["Rome", "Italy", "*"]]
    method = Method(
        method="generalize",
        search=search,
        quasi_identifiers=["age", "day", "city", "zip"],
        k=4,
        subject="who",
        l=[{"column": "grade", "l": 2}, {"column": "grade", "kind": "entropy", "l": 1.5}],
        t=[{"column": "grade", "t": 0.4, "distance": "ordered", "order": ["low", "middle"]}],
        grain={"city": {"rows": cities}},
        suppression_limit=0.5,
    )
    table = pl.DataFrame(
        {
            "who": [n // 2 for n in range(400)],
            "age": [None if n % 17 == 0 else n * 7 % 60 for n in range(400)],
            "day": [date(2020, 1 + n % 12, 1 + n % 28) for n in range(400)],
            "city": [("Oslo", "Bergen", "Rome", None)[n * n % 4] for n in range(400)],
            "zip": [str(10_000 + n % 2 * 500 + n % 9) for n in range(400)],
            "grade": [("low", "middle", "high", None)[n * 3 % 7 % 4] for n in range(400)],
        }
    )
    typed = {name: Column.model_validate(one) for name, one in columns.items()}
    compiled = compile_methods("person", typed, [method], {"generalize": Generalize})
    published, _ = compiled.form(table, pl.int_range(table.height, eager=True), bytes(32), False)
    kinds = dict(compiled.output_columns)
    (request,) = requests_of([method])
    whole = compact(published, kinds, [request])
    was = {name: one.type for name, one in typed.items()}
    found = find(whole, request, table.height - published.height, breadths_of(whole, request, was))
    assert list(found.misses()) == []
    assert found.measured.k >= 4
    assert found.measured.classes > 5
    assert found.ncp is not None
    assert 0 < found.ncp < 1
    statement = read(make(facts(columns=kinds, rows=published.height), [found]))
    again = find(whole, request_of(statement.guarantees[0]), found.measured.suppressed, stated_breadths(statement))
    assert compare(statement, published.height, "0" * 64, [again]) == []


def stated_breadths(statement: Statement) -> dict[str, Breadth]:
    return certificate.breadths_of(statement.guarantees[0])


WAIVER = Waiver(
    ("t", "u"), "bob", "ada", "a check", datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)
)


def test_where_anonymization_was_off_it_is_told_on_whose_word_and_nothing_is_claimed() -> None:
    document = make(facts(anonymized=False, waiver=WAIVER), [])
    assert (document["anonymization"], document["anonymized"]) == ("off", False)
    assert (document["methods"], document["guarantees"]) == ([], [])
    assert document["waiver"] == {
        "tables": ["t", "u"], "by": "bob", "permit": "ada", "at": "2026-11-21T00:00:00+00:00", "reason": "a check"
    }  # fmt: skip
    assert read(document).anonymization == "off"
    other = make(facts(table="v", waiver=WAIVER), [finding()])
    assert (other["anonymization"], other["waiver"]) == ("on", document["waiver"])
    assert read(other).waiver is not None
    (expanded,) = jsonld.expand(document)
    assert leaves(jsonld.compact(expanded, document["@context"])) == leaves(document)


def test_one_without_a_waiver_says_that_it_was_on() -> None:
    document = make(facts(), [finding()])
    assert document["anonymization"] == "on"
    assert "waiver" not in document
    del document["anonymization"]  # as certificates were before
    assert read(document).anonymization == "on"


def test_a_certificate_that_contradicts_itself_is_none() -> None:
    off, on = make(facts(anonymized=False, waiver=WAIVER), []), make(facts(), [finding()])
    for document, change in (
        (off, {"anonymization": "on"}),
        (off, {"waiver": None}),
        (off, {"anonymized": True}),
        (off, {"guarantees": on["guarantees"]}),
        (off, {"methods": on["methods"]}),
        (on, {"anonymization": "off"}),
        (on, {"waiver": off["waiver"]}),
    ):
        with pytest.raises(MalformedError, match="waiver: "):
            read({**document, **change})
