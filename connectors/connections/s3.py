"""`{type: s3, bucket: lake, endpoint: …, key: {env: KEY}, secret: {env: SECRET}}`: an object store."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.task.model import Strict


class S3Connection:
    """An object store that speaks S3; without an endpoint, the one of AWS."""

    class Config(Strict):
        bucket: str | None = Field(default=None, description="The bucket, unless the source names one.")
        endpoint: str | None = Field(default=None, description="The store's address, such as https://s3.example.org.")
        key: str | None = Field(default=None, description="The access key's id; a secret.")
        secret: str | None = Field(default=None, description="The access key; a secret.")
        region: str = Field(default="us-east-1", description="The region that requests are signed for.")

    name: ClassVar[str] = "s3"
    required: ClassVar[bool] = True
    plain: ClassVar[frozenset[str]] = frozenset()
