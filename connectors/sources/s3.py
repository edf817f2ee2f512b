"""Objects of an S3 bucket in any of the file formats."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import IO, Any, ClassVar, Final, Literal, cast

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from connectors.sources.contract import Chunk, Context, Position, Source, Split
from connectors.sources.formats.csv import CsvDecoder, CsvOptions
from connectors.sources.formats.inputs import COMPRESSED, unpacked
from connectors.sources.formats.jsonl import JsonlDecoder, JsonlOptions
from connectors.sources.formats.listing import BEHIND, MOVED, UNPACKED, told_in_order
from connectors.sources.formats.objects import ObjectFile, ObjectInput, failure
from connectors.sources.formats.parquet import ParquetDecoder, ParquetOptions
from connectors.sources.formats.shape import Shape
from connectors.sources.formats.window import Window
from schemas.errors import Fatal, InvalidInput, Mistake
from schemas.task.model import Column

BUFFER: Final = 1 << 20
_OPTIONS: Final[dict[str, type[BaseModel]]] = {"csv": CsvOptions, "jsonl": JsonlOptions, "parquet": ParquetOptions}


class S3Config(BaseModel):
    """Objects: `{connector: s3, connection: lake, prefix: orders/, format: parquet}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["csv", "jsonl", "parquet"] = Field(description="What the objects are.")
    prefix: str = Field(default="", description="How the objects' keys begin.")
    glob: str | None = Field(default=None, description="What the rest of a key must look like: *.csv.gz")
    bucket: str | None = Field(default=None, description="The bucket, if the connection names none.")
    options: dict[str, Any] = Field(default={}, description="Options of the format, as the source of that name has.")

    @field_validator("options")
    @classmethod
    def _fit_the_format(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "format" in info.data:
            _OPTIONS[info.data["format"]].model_validate(options)
        return options


class S3:
    """Reads objects of a bucket."""

    name: ClassVar[str] = "s3"
    Config: ClassVar[type[S3Config]] = S3Config

    @staticmethod
    def open(config: S3Config, columns: dict[str, Column], context: Context) -> Source:
        return Objects(config, columns, context)


class Objects:
    """The objects of one source; each is a split."""

    def __init__(self, config: S3Config, columns: dict[str, Column], context: Context) -> None:
        self.unknown_columns: set[str] = set()
        self._config = config
        self._context = context
        self._listed: list[str] = []
        bucket = config.bucket or context.connection.get("bucket")
        if not isinstance(bucket, str):
            raise self._mistake("bucket", "no bucket is named", "give one here or in the connection")
        self._bucket = bucket
        self._client = client(context)
        context = replace(context, follow=False)  # new objects are followed; an object never grows
        shape = Shape(columns, context)
        options = _OPTIONS[config.format].model_validate(config.options)
        self._encoding = getattr(options, "encoding", "utf-8")
        self._decoder: CsvDecoder | JsonlDecoder | ParquetDecoder
        match options:
            case CsvOptions():
                self._decoder = CsvDecoder(options, shape, context)
            case JsonlOptions():
                self._decoder = JsonlDecoder(options, shape, context)
            case _:
                self._decoder = ParquetDecoder(cast(ParquetOptions, options), shape, context)

    def splits(self) -> list[Split]:
        objects = sorted(self._objects(), key=lambda told: str(told["Key"]))
        if not objects and not self._context.follow:
            raise self._mistake("prefix", f"no object begins with {self._config.prefix!r}", "name what is there")
        keys = [str(told["Key"]) for told in objects]
        if told_in_order(self._context) and keys[: len(self._listed)] != self._listed:
            raise self._mistake("prefix", MOVED, BEHIND)
        self._listed = keys
        return [self._split(told, rank) for rank, told in enumerate(objects)]

    @staticmethod
    def _split(told: dict[str, Any], rank: int) -> Split:
        key, size = str(told["Key"]), int(told["Size"])
        packed = key.lower().endswith(tuple(COMPRESSED))
        spec = {"key": key, "etag": str(told["ETag"]), "size": size, "rank": rank}
        return Split(key, size * (UNPACKED if packed else 1), spec)

    def _objects(self) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._config.prefix):
                for told in page.get("Contents", []):
                    rest = str(told["Key"]).removeprefix(self._config.prefix)
                    taken = self._config.glob is None or fnmatchcase(rest, self._config.glob)
                    if taken and told["Size"] and not rest.endswith("/"):
                        yield told
        except (ClientError, BotoCoreError) as error:
            raise failure(error, f"bucket {self._bucket}") from None

    def read(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        spec = split.spec
        if position is not None and position["etag"] != spec["etag"]:
            raise Fatal(f"{split.name} changed since it was first read")
        place = None if position is None else {key: value for key, value in position.items() if key != "etag"}
        for chunk in self._chunks(split, place):
            yield replace(chunk, position=chunk.position | {"etag": spec["etag"]})

    def _chunks(self, split: Split, position: Position | None) -> Iterator[Chunk]:
        spec = split.spec
        size, rank = int(spec["size"]), int(spec["rank"])
        plain = ObjectInput(self._client, self._bucket, str(spec["key"]), str(spec["etag"]), size)

        def file() -> IO[bytes]:
            return cast(IO[bytes], io.BufferedReader(ObjectFile(plain, size), BUFFER))

        if isinstance(self._decoder, ParquetDecoder):
            with file() as content:
                yield from self._decoder.read(content, split.name, split, position)
                self.unknown_columns |= self._decoder.unknown_columns
            return
        window = Window(unpacked(split.name, lambda: plain, file, self._encoding))
        if isinstance(self._decoder, JsonlDecoder):
            yield from self._decoder.read(window, position, rank)
            self.unknown_columns |= self._decoder.unknown_columns
        else:
            layout = self._decoder.layout(window)
            if layout is not None:
                self.unknown_columns |= set(layout.unknown)
                yield from self._decoder.read(window, layout, position, rank)

    def _mistake(self, path: str, wrong: str, right: str) -> InvalidInput:
        return InvalidInput([Mistake("task", 0, f"sources.{self._context.source}.{path}", wrong, right)])

    def close(self) -> None:
        self._client.close()


def client(context: Context) -> Any:
    """A client of the connection's store, or, without one named, of what the environment has."""
    connection = context.connection
    return boto3.client(
        "s3",
        endpoint_url=connection.get("endpoint"),
        aws_access_key_id=connection.get("key"),
        aws_secret_access_key=connection.get("secret"),
        region_name=connection.get("region", "us-east-1"),
        config=ClientConfig(
            retries={"max_attempts": 5, "mode": "standard"},
            s3={"addressing_style": "path"} if connection.get("endpoint") else {},
            connect_timeout=10,
            read_timeout=60,
        ),
    )
