"""Every anonymization method is measured, at a scale that says nothing about speed."""

from __future__ import annotations

import json

import polars as pl
import pytest

import processors.anonymize
from benchmarks import anonymize
from processors.anonymize.protocol import Anonymization
from schemas.columns import polars_type
from schemas.discovery import discover


def test_all_at_a_tiny_scale(capsys: pytest.CaptureFixture[str]) -> None:
    anonymize.main(["--rows", "200", "--rounds", "1"])
    told = json.loads(capsys.readouterr().out)
    assert set(told["figures"]) == {"identities", *anonymize.CASES}
    assert all(figure["value"] > 0 for figure in told["figures"].values())
    assert told["figures"]["tokenize"]["target"] == ">= 3,000,000"
    assert told["figures"]["mask_card"]["target"] == ">= 5,000,000"
    assert told["figures"]["tokenize_email"]["what"] == "tokenize, distinct of a batch 100.0%"


def test_every_method_of_single_records_has_a_case() -> None:
    measured = {raw["method"] for case in anonymize.CASES.values() for raw in case}
    formed = {"anatomize"}  # of whole tables
    assert set(discover(processors.anonymize, Anonymization)) - formed <= measured


def test_the_records_have_the_columns_and_types_that_are_told() -> None:
    frame = anonymize.people(100)
    assert {name: frame.schema[name] for name in anonymize.TYPES} == {
        name: polars_type(kind) for name, kind in anonymize.TYPES.items()
    }
    assert frame["card"].n_unique() == frame["email"].n_unique() == 100
    assert frame["card"].str.contains("^[0-9]{4}( [0-9]{4}){3}$").all()
    assert isinstance(frame, pl.DataFrame)


def test_addresses_of_people_differ_in_form_and_those_of_buyers_come_again() -> None:
    frame = anonymize.people(20_000)
    forms = frame["contact"].str.replace_all("[a-z]", "a").str.replace_all("[0-9]", "0")
    assert frame["contact"].n_unique() > 0.95 * frame.height
    assert forms.n_unique() > 200
    assert frame["contact"].str.contains(r"^[a-z]+[-._]?[a-z]+[0-9]{0,4}@[a-z]+\.[a-z]+$").all()
    assert 0.5 * anonymize.REPEATED < frame["buyer"].n_unique() <= anonymize.REPEATED
    assert frame["buyer_phone"].str.contains(r"^\+[0-9]{1,3} [0-9]{3}-[0-9]{7}$").all()
