"""What a type of connection is: the options under `connections:` and which of them are secrets.

Secrets are `{env: NAME}` or `{file: PATH}` in a task; the options here are what they become. Opens nothing.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from pydantic import BaseModel


class ConnectionKind(Protocol):
    """`name` is the type, and the connector that uses it; without `required` that connector can do without.

    `plain` are options that may be written down although their names sound like secrets.
    """

    name: ClassVar[str]
    Config: ClassVar[type[BaseModel]]
    required: ClassVar[bool]
    plain: ClassVar[frozenset[str]]
