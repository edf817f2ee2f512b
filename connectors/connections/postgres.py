"""`{type: postgres, url: {env: SHOP_DB_URL}}`: a PostgreSQL database."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.task.model import Strict


class PostgresConnection:
    """A database by its address, which holds user and password."""

    class Config(Strict):
        url: str = Field(description="postgresql://user:password@host:port/database; a secret.")

    name: ClassVar[str] = "postgres"
    required: ClassVar[bool] = True
    plain: ClassVar[frozenset[str]] = frozenset()
