"""`{type: kafka, brokers: host:9093, security_protocol: SASL_SSL, …}`: brokers that are not the stack's own."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from schemas.task.model import Strict


class KafkaConnection:
    """Brokers, how to reach them, and who asks; a schema registry beside them."""

    class Config(Strict):
        brokers: str | None = Field(default=None, description="host:port, several joined by commas.")
        security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] | None = Field(
            default=None, description="How the brokers are reached; without it PLAINTEXT."
        )
        mechanism: str | None = Field(default=None, description="Of SASL, such as SCRAM-SHA-512.")
        username: str | None = Field(default=None, description="Who asks the brokers, by SASL.")
        password: str | None = Field(default=None, description="A secret.")
        ca: str | None = Field(default=None, description="The file of the authority's certificate.")
        certificate: str | None = Field(default=None, description="The file of the client's certificate.")
        key: str | None = Field(default=None, description="The file of the client's key.")
        registry_username: str | None = Field(default=None, description="Who asks the schema registry.")
        registry_password: str | None = Field(default=None, description="A secret.")

    name: ClassVar[str] = "kafka"
    required: ClassVar[bool] = False
    plain: ClassVar[frozenset[str]] = frozenset({"key"})  # a path here, not the key itself
