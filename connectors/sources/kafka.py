"""A Kafka topic of one record per message, consumed in bulk and decoded by column.

Always holds: positions are ours alone; nothing is committed to the broker. Bounded, a partition is read to the end it
had when it was listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal

from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.avro import AvroMessages, Registry, load_schema
from connectors.sources.formats.messages import JsonMessages, MessageDecoder
from connectors.sources.formats.shape import Shape
from connectors.sources.partition import ANSWER_SECONDS, Batch, Partition, failure
from schemas.errors import InvalidInput, Mistake
from schemas.task.model import Column

MESSAGE_BYTES: Final = 100  # what a message is taken to be, before it is read
_SETTINGS: Final = {
    "brokers": "bootstrap.servers",
    "security_protocol": "security.protocol",
    "mechanism": "sasl.mechanism",
    "username": "sasl.username",
    "password": "sasl.password",
    "ca": "ssl.ca.location",
    "certificate": "ssl.certificate.location",
    "key": "ssl.key.location",
}


class KafkaConfig(BaseModel):
    """A topic: `{connector: kafka, topic: crm.person}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(min_length=1, max_length=249, description="The topic's name.")
    format: Literal["json", "avro"] = Field(default="json", description="What a message's value is.")
    brokers: str | None = Field(default=None, description="host:port,…; else the connection's, else the stack's own.")
    start: Literal["earliest", "latest"] = Field(default="earliest", description="Where reading begins.")
    registry: str | None = Field(default=None, description="The schema registry's address, for Avro with schema ids.")
    avro_schema: str | dict[str, Any] | None = Field(
        default=None, description="The schema of bare Avro records, or the path of its file."
    )

    @model_validator(mode="after")
    def _says_its_schema(self) -> KafkaConfig:
        given = (self.registry is not None) + (self.avro_schema is not None)
        if given != (self.format == "avro"):
            raise ValueError("format avro needs either registry or avro_schema, and json neither")
        return self


class Kafka:
    """Reads a topic."""

    name: ClassVar[str] = "kafka"
    Config: ClassVar[type[KafkaConfig]] = KafkaConfig

    @staticmethod
    def open(config: KafkaConfig, columns: dict[str, Column], context: Context) -> Source:
        return Topic(config, columns, context)


class Topic:
    """An opened topic; every partition is a split."""

    def __init__(self, config: KafkaConfig, columns: dict[str, Column], context: Context) -> None:
        self.unknown_columns: set[str] = set()
        self._config = config
        self._context = context
        self._client = settings(config, context)
        shape = Shape(columns, context)
        self._shape = shape
        self._json = JsonMessages(shape) if config.format == "json" else None
        self._decoder = MessageDecoder(self._json or self._avro(shape), shape, context)
        self._partitions: dict[int, Partition] = {}

    def _avro(self, shape: Shape) -> AvroMessages:
        given = self._config.avro_schema
        schema = None if given is None else load_schema(given, self._context.base)
        url = self._config.registry
        registry = None if url is None else Registry(url, self._context.connection)
        return AvroMessages(shape, f"topic {self._config.topic}", schema, registry)

    def splits(self) -> list[Split]:
        topic = self._config.topic
        consumer = Consumer(self._client)
        try:
            told = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
            if told.error is not None:
                raise failure(told.error, topic)
            return [self._split(consumer, number) for number in sorted(told.partitions)]
        except KafkaException as error:
            raise failure(error.args[0], topic) from error
        finally:
            consumer.close()

    def _split(self, consumer: Consumer, number: int) -> Split:
        low, high = consumer.get_watermark_offsets(TopicPartition(self._config.topic, number), timeout=ANSWER_SECONDS)
        start = low if self._config.start == "earliest" else high
        spec = {"partition": number, "start": start}
        if not self._context.follow:
            spec["end"] = high
        return Split(f"{self._config.topic}/{number}", (high - start) * MESSAGE_BYTES, spec)

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        number, end = int(split.spec["partition"]), split.spec.get("end")
        offset = int(split.spec["start"] if position is None else position["offset"])
        if number not in self._partitions:
            self._partitions[number] = Partition(self._client, self._config.topic, number)
        partition = self._partitions[number]
        limits = (self._context.chunk_rows, self._context.chunk_bytes)
        while end is None or offset < end:
            batch = partition.read(offset, end, *limits)
            if batch.next_offset == offset:
                return
            offset = batch.next_offset
            ended = batch.ended if end is None else batch.ended or offset >= end
            if end is not None and ended:  # what it has fetched ahead is not asked for again
                self._partitions.pop(number).close()
            yield self._chunk(batch, ended)
            if end is not None and ended:
                return

    def _chunk(self, batch: Batch, ended: bool) -> Chunk:
        if not batch.values:
            return self._shape.chunk(None, [], {"offset": batch.next_offset}, at_end=ended)
        if self._json is not None and not self.unknown_columns and batch.values[0] is not None:
            self.unknown_columns |= self._json.unknown(batch.values[0])
        frame, rejects = self._decoder.decode(batch.keys, batch.values, batch.offsets)
        return self._shape.chunk(frame, rejects, {"offset": batch.next_offset}, at_end=ended)

    def close(self) -> None:
        for partition in self._partitions.values():
            partition.close()
        self._partitions.clear()


def settings(config: KafkaConfig, context: Context) -> dict[str, Any]:
    """Settings of the client: the source's brokers, else its connection's, else the stack's."""
    connection = context.connection
    theirs = {_SETTINGS[name]: value for name, value in connection.items() if name in _SETTINGS}
    if config.brokers is not None:
        theirs["bootstrap.servers"] = config.brokers
    chosen = theirs or dict(context.kafka)
    if "bootstrap.servers" not in chosen:
        where = f"sources.{context.source}"
        raise InvalidInput([Mistake("task", 0, where, "no broker is named", "give brokers or a connection")])
    return chosen | {
        "group.id": "metal-source",  # asked for by the client; nothing is ever committed under it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        # A waiting message costs some 400 bytes beside its own, so of small ones their number is the bound.
        "queued.min.messages": 100_000,
        "queued.max.messages.kbytes": 32 << 10,
        "fetch.queue.backoff.ms": 5,
        "log_level": 2,  # what fails is raised; nothing else belongs on stderr
        "fetch.message.max.bytes": 8 << 20,
    }
