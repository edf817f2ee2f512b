"""`redact`: finds personal data in free text and replaces it, by a tag such as [EMAIL] or by a token.

Looked for are e-mail addresses, phone numbers, cards and accounts (with right check digits), IP addresses, URLs that
name a user, dates of birth, given words, and what other columns hold of the same record, such as its names; word by
word, whether in capitals or not. Everything else of the text stays, so what has no pattern and is not given remains:
where that must not be, suppress the column. A null stays null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Literal

import polars as pl
from pydantic import ConfigDict, Field, model_validator

from processors.anonymize.findings import FINDINGS, KINDS, USUAL, Finding, Kind
from processors.anonymize.protocol import Batch, Columns, Example, Treatment, column_of
from processors.anonymize.text import text_of
from processors.anonymize.tokenize import tokens
from processors.wrong_config import MisfitError
from schemas.columns import ColumnType
from schemas.task.model import Strict

Written = Callable[[pl.Series, str], pl.Series]
DATES: Final = frozenset({"[DATE]", "[DATE OF BIRTH]"})
CUT: Final = "\0"  # stands in a text where a finding was
WORD: Final = r"[\p{L}\p{M}\p{N}]{2,}"


class Redact:
    """`columns` are searched for `find`, for `words`, and for what the columns in `values_of` hold."""

    class Config(Strict):
        model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

        columns: list[str] = Field(min_length=1, description="The columns of free text.")
        find: list[Kind] = Field(default=list(USUAL), description="What is looked for; `date` is every date.")
        words: list[str] = Field(default=[], max_length=10_000, description="Words and phrases that are replaced, too.")
        values_of: list[str] = Field(
            default=[], description="Columns whose words, of two characters or more, are replaced in their own record."
        )
        with_: Literal["tag", "token"] = Field(
            default="tag", alias="with", description="`token`: what was found gets its token; dates get a tag still."
        )
        domain: str = Field(default="", description="The domain of the tokens, as that of `tokenize`.")

        @model_validator(mode="after")
        def _finds(self) -> Redact.Config:
            if not (self.find or self.words or self.values_of):
                raise MisfitError("looks for nothing", "name find, words or values_of")
            for i, word in enumerate(self.words):
                if not word.strip():
                    raise MisfitError("is an empty word", "leave it out", ("words", i))
            for i, name in enumerate(self.values_of):
                if name in self.columns:
                    raise MisfitError(f"{name} would be replaced whole", "suppress it instead", ("values_of", i))
            if self.domain and self.with_ == "tag":
                raise MisfitError("has a domain without tokens", "write with: token", ("domain",))
            return self

    name: ClassVar[str] = "redact"
    types: ClassVar[frozenset[ColumnType]] = frozenset({"string"})
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "a note without addresses and numbers",
            {"note": {"type": "string"}},
            {"columns": ["note"]},
            {
                "note": (
                    "write to ada@example.org or call +49 30 123456",
                    "paid with 4111 1111 1111 1111 from DE89 3704 0044 0532 0130 00",
                    "from 192.0.2.7 at 12:30:45, order 4111111111111112",
                    "born on 17 May 1980, see https://ada@example.org/x",
                    None,
                )
            },
            {
                "note": (
                    "write to [EMAIL] or call [PHONE]",
                    "paid with [CARD] from [IBAN]",
                    "from [IP] at 12:30:45, order 4111111111111112",
                    "born on [DATE OF BIRTH], see [URL]",
                    None,
                )
            },
        ),
        Example(
            "the record's own name and given words",
            {"name": {"type": "string"}, "note": {"type": "string"}},
            {"columns": ["note"], "find": [], "words": ["Analytical Engine"], "values_of": ["name"]},
            {"name": ("Ada Lovelace", None), "note": ("Mrs LOVELACE, Ada: analytical engine", "Ada")},
            {"note": ("Mrs [NAME], [NAME]: [WORD]", "Ada")},
        ),
        Example(
            "tokens, which still tell that two notes are about one address",
            {"note": {"type": "string"}},
            {"columns": ["note"], "find": ["email"], "with": "token"},
            {"note": ("ada@example.org", "x ada@example.org y", None)},
        ),
    )

    def plan(self, config: Redact.Config, columns: Columns) -> Treatment:
        for i, name in enumerate(config.columns):
            column_of(columns, name, self.types, "columns", i)
        kinds: frozenset[ColumnType] = frozenset({"string", "int64", "json"})
        others = {name: column_of(columns, name, kinds, "values_of", i) for i, name in enumerate(config.values_of)}
        findings = [one for kind in KINDS if kind in config.find for one in FINDINGS[kind]]
        if config.words:
            findings.append(Finding(_words(config.words), "[WORD]"))

        def treat(batch: Batch) -> list[pl.Expr | pl.Series]:
            def written(found: pl.Series, tag: str) -> pl.Series:
                if config.with_ == "token":
                    return tokens(found, batch.draw.key, config.domain)
                return pl.Series([tag]).new_from_index(0, len(found))

            values = batch.frame.select(text_of(pl.col(name), column.type) for name, column in others.items())
            return [_redacted(batch.frame[name], findings, values, written) for name in config.columns]

        return Treatment(dict.fromkeys(config.columns, "string"), treat, reads=(*config.columns, *others))


def _words(words: list[str]) -> str:
    """One expression for all; the longest first, so that a phrase goes before its first word."""
    found = pl.DataFrame({"word": sorted(map(str.strip, words), key=len, reverse=True)})
    word = pl.col("word")
    before, after = (
        pl.when(word.str.contains(at)).then(pl.lit(r"\b")).otherwise(pl.lit("")) for at in (r"^\w", r"\w$")
    )
    each = found.select(pl.concat_str(before, word.str.escape_regex(), after)).to_series()
    return f"(?i)(?:{'|'.join(each)})"


def _redacted(texts: pl.Series, findings: list[Finding], values: pl.DataFrame, written: Written) -> pl.Series:
    for one in findings:
        if one.hint is not None and not texts.str.contains(one.hint, literal=True).any():
            continue
        rows = texts.str.contains(one.pattern).arg_true()
        if not len(rows):
            continue
        part = texts.gather(rows)
        if one.keeps or one.tag in DATES:
            new = part.str.replace_all(one.pattern, "${1}" * one.keeps + one.tag)
        else:
            new = _replaced(part, one, written)
        texts = texts.scatter(rows, new)
    for name in values.columns:
        texts = _own(texts, values[name], f"[{name.upper()}]", written)
    return texts


def _replaced(texts: pl.Series, one: Finding, written: Written) -> pl.Series:
    """Texts that all have a candidate, with those that count replaced."""

    def new(found: pl.DataFrame) -> pl.Series:
        replacement = written(found["found"], one.tag)
        if one.sound is None:
            return replacement
        return pl.select(pl.when(one.sound(found["found"])).then(replacement).otherwise(found["found"])).to_series()

    return _rebuilt(texts, one.pattern, new)


def _own(texts: pl.Series, values: pl.Series, tag: str, written: Written) -> pl.Series:
    """Each text without the words of the value that stands beside it."""
    own = pl.DataFrame({"text": texts.str.to_lowercase(), "value": values.str.to_lowercase()}).with_row_index("row")
    words = own.select("row", "text", word=pl.col("value").str.extract_all(WORD)).explode("word").drop_nulls("word")
    words = words.filter(pl.col("text").str.contains(pl.col("word"), literal=True)).select("row", "word").unique()
    rows = words["row"].unique().sort()
    if not len(rows):
        return texts

    def new(found: pl.DataFrame) -> pl.Series:
        sought = pl.DataFrame({"row": rows.gather(found["text"]), "word": found["found"].str.to_lowercase()})
        hits = sought.join(words.with_columns(hit=True), on=["row", "word"], how="left", maintain_order="left")["hit"]
        replacement = written(found["found"], tag)
        return pl.select(pl.when(hits).then(replacement).otherwise(found["found"])).to_series()

    return texts.scatter(rows, _rebuilt(texts.gather(rows), WORD, new))


def _rebuilt(texts: pl.Series, pattern: str, new: Callable[[pl.DataFrame], pl.Series]) -> pl.Series:
    """Texts with each match replaced; `new` gets the matches as `found`, with the number of the `text`."""
    texts = texts.str.replace_all(CUT, "\ufffd", literal=True)
    frame = pl.DataFrame({"text": texts}).with_row_index("number")
    found = (
        frame.select(text="number", found=pl.col("text").str.extract_all(pattern)).explode("found").drop_nulls("found")
    )
    pieces = frame.select(text="number", piece=pl.col("text").str.replace_all(pattern, CUT).str.split(CUT)).explode(
        "piece"
    )
    # before every piece but a text's first stands a match, in the order in which they were found
    first = pieces["text"] != pieces["text"].shift(1)
    between = pl.Series([""]).new_from_index(0, len(pieces)).scatter((~first.fill_null(True)).arg_true(), new(found))
    joined = pieces.select("text", piece=pl.concat_str(between, "piece")).group_by("text", maintain_order=True)
    return joined.agg(pl.col("piece").str.join(""))["piece"]
