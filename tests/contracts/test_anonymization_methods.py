"""What holds for every anonymization method that is found, without naming one."""

from __future__ import annotations

import polars as pl
import pytest

import processors.anonymize
from processors.anonymize.protocol import Anonymization, Batch, Example
from processors.anonymize.randomness import Draw
from processors.anonymize.runner import CompiledMethods, compile_methods
from schemas import batch
from schemas.columns import IDENTITY, polars_type
from schemas.discovery import discover
from schemas.task.model import Column, Method

METHODS = discover(processors.anonymize, Anonymization)
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{i}")
    for name, method in METHODS.items()
    for i, example in enumerate(method.examples)
]
every_example = pytest.mark.parametrize(("name", "example"), EXAMPLES)
KEY = bytes(range(32))


def setting(name: str, example: Example) -> tuple[CompiledMethods, pl.DataFrame]:
    columns = {column: Column.model_validate(raw) for column, raw in example.columns.items()}
    series = {
        column: pl.Series(list(values), dtype=polars_type(columns[column].type, columns[column].scale))
        for column, values in example.given.items()
    }
    frame = pl.DataFrame({**series, "untouched": pl.Series(range(len(next(iter(series.values())))))})
    columns["untouched"] = Column(type="int64")
    frame = frame.with_columns((pl.col("untouched") * 7919 - 5).alias(IDENTITY))
    return compile_methods("t", columns, [Method(method=name, **example.options)], METHODS), frame


def anonymized(methods: CompiledMethods, frame: pl.DataFrame, window: bool) -> pl.DataFrame:
    """As the engine does it: groups of the whole table first, then record by record."""
    formed, _ = methods.form(frame, frame[IDENTITY], KEY, window)
    return methods.apply(formed, KEY, window)


def test_the_required_methods_are_found() -> None:
    assert {"suppress", "tokenize", "mask", "generalize", "perturb", "permute", "anatomize"} <= METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_has_documentation_and_examples(name: str) -> None:
    assert METHODS[name].__doc__
    assert METHODS[name].examples


@every_example
def test_example(name: str, example: Example) -> None:
    methods, frame = setting(name, example)
    out = anonymized(methods, frame, window=False)
    for column, values in (example.gives or {}).items():
        assert out[column].to_list() == list(values)
    if example.gives is None:
        names = [name for name in example.columns if name in out.columns]
        assert out.select(names).null_count().equals(frame.select(names).null_count())


@every_example
@pytest.mark.parametrize("window", [False, True])
def test_keeps_rows_order_and_other_columns(name: str, example: Example, window: bool) -> None:
    methods, frame = setting(name, example)
    before = frame.clone()
    out = anonymized(methods, frame, window)
    assert frame.equals(before)
    written, removed = (methods.group.outputs, methods.group.removes) if methods.group else ({}, ())
    assert out.columns == [name for name in frame.columns if name not in removed] + [
        name for name in written if name not in frame.columns
    ]
    assert out.select("untouched", IDENTITY).equals(frame.select("untouched", IDENTITY))


@every_example
def test_writes_the_types_it_declares(name: str, example: Example) -> None:
    methods, frame = setting(name, example)
    for given in (
        frame,
        frame.clear(),
        frame.with_columns(pl.lit(None).cast(frame[c].dtype).alias(c) for c in example.columns),
    ):
        out = anonymized(methods, given, window=methods.group is not None)
        assert out.height in ([given.height, 0] if methods.group else [given.height])
        assert set(methods.output_columns) == set(out.columns) - {IDENTITY}
        for column, kind in methods.output_columns.items():
            assert out[column].dtype == polars_type(kind)


@every_example
def test_reads_no_more_than_it_says(name: str, example: Example) -> None:
    """What no method reads is not stored: it would not be there any more."""
    methods, frame = setting(name, example)
    formed, _ = methods.form(frame, frame[IDENTITY], KEY, False)
    out = methods.apply(formed, KEY, False)
    for one in methods.treatments:
        assert one.reads is not None
        seen = formed.select(*one.reads, IDENTITY)
        written = seen.with_columns(one.treat(Batch(seen, Draw(KEY, "t", seen[IDENTITY]), False)))
        assert written.select(*one.outputs).equals(out.select(*one.outputs))


@every_example
@pytest.mark.parametrize("rows", [slice(None), slice(1, None), slice(0, 0)])
def test_what_is_sent_arrives_as_the_same(name: str, example: Example, rows: slice) -> None:
    methods, frame = setting(name, example)
    formed, _ = methods.form(frame, frame[IDENTITY], KEY, False)
    sent = methods.apply(formed[rows], KEY, False, on_its_way=True)
    expected = methods.apply(formed[rows], KEY, False)
    arrived = batch.decode(batch.encode(sent))
    assert arrived.schema == expected.schema
    assert arrived.equals(expected)


@every_example
def test_says_the_same_again_with_the_same_key(name: str, example: Example) -> None:
    methods, frame = setting(name, example)
    assert anonymized(methods, frame, window=False).equals(anonymized(methods, frame, window=False))


@every_example
def test_arrangement_does_not_matter(name: str, example: Example) -> None:
    methods, frame = setting(name, example)
    turned = anonymized(methods, frame.reverse(), window=False).reverse()
    assert anonymized(methods, frame, window=False).equals(turned)


@every_example
def test_config_survives_a_round_trip(name: str, example: Example) -> None:
    config = METHODS[name].Config.model_validate(example.options)
    again = METHODS[name].Config.model_validate_json(config.model_dump_json(by_alias=True, exclude_unset=True))
    assert again == config
    assert METHODS[name].Config.model_json_schema()["properties"]
