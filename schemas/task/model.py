"""A task as its author wrote it, after validation.

Rules of a column, sources and anonymization methods stay open mappings here: each is validated by the
component that it names (`processors/rules`, `connectors/sources`, `processors/anonymize`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.columns import DEFAULT_SCALE, ColumnType, polars_type

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,47}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(NamedTuple):
    """The type of a column or of an expression; the scale counts for decimals alone."""

    type: ColumnType
    scale: int = DEFAULT_SCALE

    @property
    def polars(self) -> pl.DataType:
        return polars_type(self.type, self.scale)


class Column(BaseModel):
    """A typed column. Every further key names a rule and holds that rule's config, in the order applied."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: ColumnType
    scale: int = Field(default=DEFAULT_SCALE, ge=0, le=18)
    references: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]\w*\.[A-Za-z]\w*$")] | None = None

    @property
    def rules(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    @property
    def kind(self) -> Kind:
        return Kind(self.type, self.scale) if self.type == "decimal" else Kind(self.type)


class Prefer(Strict):
    prefer: list[Name] = Field(min_length=1)


Conflicts = Literal["drop_all", "keep_all"] | Prefer


class PrimaryKey(Strict):
    """`column` is one name or, for a key of several columns, a list of names."""

    column: Name | list[Name]
    conflicts: Conflicts

    @property
    def columns(self) -> list[str]:
        return [self.column] if isinstance(self.column, str) else list(self.column)


class Delete(Strict):
    """Records whose `column` holds one of the given texts tell a deletion."""

    column: Name = Field(
        description="The column that tells. One that the table does not declare is read for this alone; a declared "
        "one is of type string, int64, bool or date."
    )
    equals: list[str] | str = Field(description="The text, or one of several, that tells a deletion.")


class Changes(Strict):
    """The source tells changes, not just records: the last one of a key in that source counts.

    Without `order_by` the last one is the one that stands last in the source. A topic keeps that order within a
    partition only, so key its messages by the record's primary key: then all changes of a record are in one partition.
    """

    order_by: Name | None = Field(
        default=None,
        description="The column that orders the changes of one key, else their position in the source: in a topic the "
        "offset, which orders within a partition only, so key the messages by the record's primary key. A column that "
        "the table does not declare is read as int64, for the order alone; a declared one is of type int64, timestamp "
        "or date.",
    )
    delete: Delete | None = Field(default=None, description="Which records tell a deletion.")


class Source(BaseModel):
    """Every key beyond these is the connector's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    connector: Name
    connection: Name | None = None
    rename: dict[str, Name] = Field(default_factory=dict)  # the source's name of a column: ours
    changes: Changes | bool = Field(
        default=False,
        description="Whether the source tells changes: then the last record of a key in it counts. The last one of a "
        "topic is told within a partition only, so key its messages by the record's primary key, or set order_by.",
    )

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Bounds(Strict):
    """What one record may add to a sum, whatever stands in it; said beforehand, and never found in the data."""

    min: float = Field(description="The least value that counts; what is below counts as it.", ge=-1e15, le=1e15)
    max: float = Field(description="The greatest value that counts; what is above counts as it.", ge=-1e15, le=1e15)
    step: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Sums are told in multiples of it. Without it 1 for whole numbers, else a power of ten that the "
        "bounds hold 10,000 times or more.",
    )


class Noise(Strict):
    """Counts and sums are told with noise that keeps differential privacy: hardly anything can be learned of one
    subject. Each run that draws them costs `epsilon` and `delta` of the budget."""

    budget: Name = Field(
        description="What the cost is taken from: metal privacy budget set NAME. Tasks that tell of the same people "
        "share one."
    )
    epsilon: float = Field(
        ge=1e-9,
        le=50,
        description="What all columns of the table together may tell of a subject, in each run; shared out evenly.",
    )
    delta: float = Field(
        default=0,
        ge=0,
        le=0.001,
        description="How likely more than epsilon may be told; far below one by the number of subjects. With it noise "
        "is Gauss's, without it Laplace's.",
    )
    subject: str | None = Field(
        default=None,
        description="The column that tells whose record it is, with its table: all records of a subject are "
        "protected. Without it each record is protected by itself.",
    )
    at_most: int = Field(
        default=1, ge=1, le=1_000_000, description="So many records of a subject count, in all groups together."
    )
    bounds: dict[Name, Bounds] = Field(default_factory=dict, description="For each sum what one record may add.")
    categories: dict[str, list[bool | int | str]] = Field(
        default_factory=dict,
        description="For each column of `by` the values that there is a group of, also of no records; other records "
        "count nowhere. They are said beforehand, and never found in the data.",
    )


class SmallGroups(Strict):
    """What becomes of groups of fewer than `k` subjects, so that what is told of a group is told of no one in it."""

    k: int = Field(default=5, ge=2, description="How many subjects a group has at least.")
    subject: str | None = Field(
        default=None,
        description="The column, such as `order.customer_id`, that tells whose a record is: `k` counts its distinct "
        "values, null as one. Else each record is a subject of its own.",
    )
    then: Literal["suppress", "merge"] = Field(
        default="suppress",
        description="A small group is left out, or merged with others along `levels` and left out only if that does "
        "not suffice.",
    )
    levels: list[dict[Name, dict[str, Any]]] = Field(
        default_factory=list,
        description="From fine to coarse what groups are merged into: column: {unit: month}, {step: 10}, "
        "{hierarchy: FILE, level: 1}, {keep_first: 2}, {prefix: 24} or {geohash: 4}. A column that a level does not "
        "name stays as it was on the level before. Columns that are named become text.",
    )


class Aggregate(Strict):
    by: list[str] = Field(default_factory=list)
    columns: dict[Name, str] = Field(min_length=1)
    noise: Noise | None = Field(
        default=None,
        description="Tells counts and sums with the noise of differential privacy, in a table of a snapshot.",
    )
    small_groups: SmallGroups | Literal["publish"] | None = Field(
        default=None,
        description="What becomes of groups of fewer than k subjects, 5 records if nothing is said: they are left out, "
        "with what they could be computed from. `publish` lets them be seen; certificates tell so.",
    )


class Step(Strict):
    """One transformation; exactly one of the three is given."""

    filter: str | None = None
    derive: dict[Name, str] | None = None
    aggregate: Aggregate | None = None


class Join(Strict):
    """`{join: {product: sku}}`: the column sku of the base table meets the primary key of product."""

    join: dict[Name, str] = Field(default_factory=dict)


class Method(BaseModel):
    """One anonymization step; every further key is the method's own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: Name

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Table(BaseModel):
    """Either collected (`columns` and `sources`) or derived (`from_`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    columns: dict[Name, Column] = Field(default_factory=dict)
    primary_key: PrimaryKey | None = None
    sources: dict[Name, Source] = Field(default_factory=dict)
    from_: dict[Name, Join] | None = Field(default=None, alias="from")
    transform: list[Step] = Field(default_factory=list)
    anonymize: list[Method] = Field(default_factory=list)

    @property
    def derived(self) -> bool:
        return self.from_ is not None


class Connection(BaseModel):
    """Where a system is; a secret is `{env: NAME}` or `{file: PATH}`, never a value."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Name

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class Rejects(Strict):
    """A run halts when more than `share` and more than `count` of its records are rejected."""

    share: float = Field(default=0.01, ge=0, le=1)
    count: int = Field(default=100, ge=0)


class Secret(Strict):
    """Where a secret stands: the name of an environment variable, or the path of a file."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    file: Annotated[str, StringConstraints(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("should be {env: NAME} or {file: PATH}")
        return self


class Publish(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    module: Name
    to: dict[str, Any]


class Task(Strict):
    task: Name
    mode: Literal["snapshot", "continuous"] = "snapshot"
    description: str = ""
    epoch: Annotated[float, Field(gt=0.04, le=3600)] = 2.0  # seconds, continuous mode
    partitions: Annotated[int, Field(ge=1, le=1024)] | None = None  # else chosen by the size of the sources
    rejects: Rejects = Rejects()
    connections: dict[Name, Connection] = Field(default_factory=dict)
    tables: dict[Name, Table] = Field(min_length=1)
    publish: Publish | None = None
