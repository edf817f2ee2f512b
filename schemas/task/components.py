"""What a task may name, as the composition root found it: rules, sources, methods, connections.

A component is a class with `name` and `Config`, a pydantic model. A rule also has `types`, the column types
that it fits. A connector uses the type of connection of its own name; a connection says whether that is
`required`, and which `plain` options may be written down although they sound like secrets.
Nothing here imports a component.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.task.model import Kind, Task
from schemas.task.text import Finding

Outputs = dict[str, dict[str, Kind]]


@dataclass(frozen=True)
class Components:
    """`outputs` gives every table's columns after its transforms, with what is wrong in the expressions;
    `inspections` look at a task whose form is right, and at the directory that its paths begin in."""

    rules: Mapping[str, type[Any]] = field(default_factory=dict)
    sources: Mapping[str, type[Any]] = field(default_factory=dict)
    methods: Mapping[str, type[Any]] = field(default_factory=dict)
    connections: Mapping[str, type[Any]] = field(default_factory=dict)
    outputs: Callable[[Task], tuple[Outputs, list[Finding]]] | None = None
    inspections: tuple[Callable[[Task, Path], list[Finding]], ...] = ()
