"""The words of a certificate: what is stated about one table of one run. The same models write it and read it back."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from processors.privacy.certificates.stated import Stated, Text
from processors.privacy.certificates.stated_groups import Groups
from processors.privacy.certificates.stated_presence import StatedPresence
from processors.privacy.measured.breadth import Form
from schemas.columns import ColumnType

ROWS: Final = "metal-rows-1"  # the form of rows that processors/privacy/certificates/digest.py describes
OWN: Final = "urn:x-metal:privacy#"

CONTEXT: Final[dict[str, Any]] = {
    "@version": 1.1,
    "@vocab": OWN,
    "csvw": "http://www.w3.org/ns/csvw#",
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcterms": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "prov": "http://www.w3.org/ns/prov#",
    "sec": "https://w3id.org/security#",
    "spdx": "http://spdx.org/rdf/terms#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "type": "@type",
    "Dataset": "dcat:Dataset",
    "Column": "csvw:Column",
    "Checksum": "spdx:Checksum",
    "issued": {"@id": "dcterms:issued", "@type": "xsd:dateTime"},
    "release": {"@id": "prov:hadPrimarySource"},
    "table": "dcterms:title",
    "columns": {"@id": "csvw:column", "@container": "@list"},
    "name": "csvw:name",
    "datatype": "csvw:datatype",
    "digest": "spdx:checksum",
    "algorithm": "spdx:algorithm",
    "value": "spdx:checksumValue",
    "methods": {"@id": "dpv:hasTechnicalMeasure", "@container": "@list"},
    "parameters": {"@id": f"{OWN}parameters", "@type": "@json"},
    "shares": {"@id": f"{OWN}shares", "@type": "@json"},
    "distribution": {"@id": f"{OWN}distribution", "@type": "@json"},
    "DataIntegrityProof": "sec:DataIntegrityProof",
    "proof": {"@id": "sec:proof", "@container": "@graph"},
    "created": {"@id": "dcterms:created", "@type": "xsd:dateTime"},
    "cryptosuite": "sec:cryptosuite",
    "verificationMethod": {"@id": "sec:verificationMethod", "@type": "@id"},
    "proofPurpose": {"@id": "sec:proofPurpose", "@type": "@vocab"},
    "assertionMethod": "sec:assertionMethod",
    "proofValue": "sec:proofValue",
}


class StatedColumn(Stated):
    kind: Literal["Column"] = Field(default="Column", alias="@type")
    name: Text
    datatype: ColumnType


class Digest(Stated):
    kind: Literal["Checksum"] = Field(default="Checksum", alias="@type")
    algorithm: Literal["sha256"] = "sha256"
    canonicalization: Literal["metal-rows-1"] = ROWS
    value: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Release(Stated):
    """What was published: of which run, and which rows, by their digest."""

    kind: Literal["Dataset"] = Field(default="Dataset", alias="@type")
    run: Text
    task: Text
    task_version: int
    code_version: Text
    mode: Text
    table: Text
    columns: Annotated[list[StatedColumn], Field(min_length=1)]
    rows: Annotated[int, Field(ge=0)]
    digest: Digest


class UsedMethod(Stated):
    """One method: the columns it treats and what it was told."""

    method: Text
    columns: list[Text]
    parameters: dict[str, Any]


class StatedDiversity(Stated):
    """As requested, or as reached: of recursive diversity c, absent where a class has fewer than l values, else l."""

    column: Text
    kind: Literal["distinct", "entropy", "recursive"]
    l: float  # noqa: E741  # the literature's name
    c: float | None = None


class StatedCloseness(Stated):
    column: Text
    distance: Literal["equal", "ordered"]
    t: float
    order: list[Text] | None = None


class Level(Stated):
    """k, l, t and presence, as requested or as reached."""

    k: int | None = None
    diversity: list[StatedDiversity] = Field(default_factory=list)
    closeness: list[StatedCloseness] = Field(default_factory=list)
    presence: StatedPresence | None = None


class Reference(Stated):
    """How a sensitive column's values are distributed in the release, which t is measured against.

    `distribution` is [value, count] by value, as text; beyond 1,000 values only how many there are.
    """

    column: Text
    values: int
    distribution: list[tuple[str | None, int]] | None = None


class StatedBreadth(Stated):
    """How wide a column's groups are (processors/privacy/measured/breadth.py); `shares` of a hierarchy's, by name."""

    column: Text
    form: Form
    shares: dict[str, float] | None = None


class Loss(Stated):
    """What the classes cost. `discernibility` is text where it is no exact number of JSON.

    `ncp` is the average over all cells; it is absent where the published names of groups do not tell their width.
    """

    classes: int
    average_class_size: float
    discernibility: int | str
    ncp: float | None = None


class Suppression(Stated):
    """Records that left the release to form its classes; the share is of all that would have been in it."""

    records: Annotated[int, Field(ge=0)]
    share: float
    limit: float | None = None


class Guarantee(Stated):
    """What the classes of some quasi-identifiers guarantee."""

    quasi_identifiers: Annotated[list[Text], Field(min_length=1)]
    sensitive: list[Text]
    subject: Text | None = None
    requested: Level
    reached: Level
    references: list[Reference] = Field(default_factory=list)
    breadths: list[StatedBreadth] = Field(default_factory=list)
    loss: Loss
    suppression: Suppression


class Spent(Stated):
    """Of differential privacy."""

    epsilon: float
    delta: float


class NoisyColumn(Stated):
    """One that is told with noise; a sum's records were cut to its bounds."""

    name: Text
    cost: Spent
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None


class StatedNoise(Stated):
    """What the counts and sums of the release tell of a subject at most.

    `cost` is this release's; `used` is what was spent of the budget in all when the certificate was made, of `granted`.
    Without a subject each record is protected by itself.
    """

    mechanism: Literal["discrete Laplace", "discrete Gaussian"]
    cost: Spent
    columns: Annotated[list[NoisyColumn], Field(min_length=1)]
    subject: Text | None = None
    records_of_a_subject: Annotated[int, Field(ge=1)]
    groups: Annotated[int, Field(ge=1)]
    budget: Text
    granted: Spent
    used: Spent


class StatedWaiver(Stated):
    """Who had anonymization turned off for tables of the run, with whose permit, when and why."""

    tables: Annotated[list[Text], Field(min_length=1)]
    by: Text
    permit: Text
    at: Text
    reason: Text


class Statement(Stated):
    """A certificate without its context and its proof."""

    id: Annotated[str, Field(alias="@id", max_length=1_000)]
    kind: Literal["Certificate"] = Field(default="Certificate", alias="@type")
    issued: Text
    anonymized: bool
    release: Release
    methods: list[UsedMethod]
    groups: Groups | None = None  # of an aggregated table
    guarantees: list[Guarantee]
    noise: StatedNoise | None = None
    anonymization: Literal["on", "off"] = "on"
    waiver: StatedWaiver | None = Field(default=None, validate_default=True)

    @field_validator("waiver")
    @classmethod
    def _plain(cls, waiver: StatedWaiver | None, told: ValidationInfo) -> StatedWaiver | None:
        """Where anonymization was off nothing is claimed, and it is told on whose word."""
        known = told.data
        off = known.get("anonymization") == "off"
        table = known["release"].table if "release" in known else None
        if off != (waiver is not None and table in waiver.tables):
            raise ValueError("it does not go with what is said of anonymization")
        if off and any(known.get(name) for name in ("anonymized", "methods", "groups", "guarantees", "noise")):
            raise ValueError("anonymization was off, and yet something is claimed of it")
        return waiver
