"""What a task asks of the classes of a table: read from the options of its methods, whichever way they are written.

Each method that names quasi-identifiers is one request. `l` and `t` are a number, which then counts for every
sensitive column, one mapping or a list of them, or a mapping from the sensitive column to either. What is not asked
for is absent. Knows no method by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.task.model import Method

GROUP: Final = "group"  # the column that links a table with what was set apart from it
_COLUMN: Final = ("column", "sensitive", "columns")


@dataclass(frozen=True)
class Diversity:
    """`kind` is distinct, entropy or recursive; `c` counts for the last alone."""

    column: str
    l: float  # noqa: E741  # the literature's name
    kind: str = "distinct"
    c: float | None = None


@dataclass(frozen=True)
class Closeness:
    """`distance` is equal or ordered; `order` has the values in order where their type has none."""

    column: str
    t: float
    distance: str = "equal"
    order: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Presence:
    """The share of its people in the population, a table of the task, that a class has at least and at most."""

    population: str
    least: float
    most: float


@dataclass(frozen=True)
class Request:
    """What is asked of the classes that some quasi-identifiers form. `subject`: whose distinct values k counts.

    `hierarchies` are the rows that the options hold of columns, as a released task has them; `search` is how groups are
    to be found, where a method says so.
    """

    quasi_identifiers: tuple[str, ...]
    k: int | None = None
    subject: str | None = None
    diversity: tuple[Diversity, ...] = ()
    closeness: tuple[Closeness, ...] = ()
    suppression_limit: float | None = None
    hierarchies: Mapping[str, list[list[str]]] = field(default_factory=dict, compare=False)
    search: str | None = field(default=None, compare=False)
    presence: Presence | None = None

    @property
    def sensitive(self) -> tuple[str, ...]:
        columns = [one.column for one in self.diversity] + [one.column for one in self.closeness]
        return tuple(dict.fromkeys(columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that measuring looks at."""
        subject = () if self.subject is None else (self.subject,)
        return tuple(dict.fromkeys((*self.quasi_identifiers, *subject, *self.sensitive)))


def requests_of(methods: Sequence[Method]) -> tuple[Request, ...]:
    return tuple(_request(one.options) for one in methods if one.options.get("quasi_identifiers"))


def requests_of_links(methods: Sequence[Method], beside: bool) -> tuple[Request, ...]:
    """What methods that set a sensitive column apart keep: in the table groups of l records, and `beside`, in the table
    that the column went to, groups of l values."""
    apart = [one.options for one in methods if "quasi_identifiers" not in one.options and _sets_apart(one.options)]
    if beside:
        return tuple(Request((GROUP,), diversity=(Diversity(one["sensitive"], float(one["l"])),)) for one in apart)
    return tuple(Request((GROUP,), k=one["l"], subject=one.get("subject")) for one in apart)


def _sets_apart(options: Mapping[str, Any]) -> bool:
    return isinstance(options.get("sensitive"), str) and isinstance(options.get("l"), int)


def _request(options: Mapping[str, Any]) -> Request:
    sensitive = _names(options.get("sensitive"))
    limit = options.get("suppression_limit")
    return Request(
        quasi_identifiers=_names(options["quasi_identifiers"]),
        k=options.get("k"),
        subject=options.get("subject"),
        diversity=tuple(
            Diversity(column, float(one["l"]), str(one.get("kind", "distinct")), one.get("c"))
            for column, one in _each(options.get("l"), "l", sensitive)
        ),
        closeness=tuple(
            Closeness(column, float(one["t"]), str(one.get("distance", "equal")), _names(one.get("order")) or None)
            for column, one in _each(options.get("t"), "t", sensitive)
        ),
        suppression_limit=None if limit is None else float(limit),
        hierarchies=dict(_hierarchies(options)),
        search=options.get("search"),
        presence=_presence(options.get("presence")),
    )


def _presence(given: Any) -> Presence | None:
    if not isinstance(given, Mapping):
        return None
    least, most = given["delta"]
    return Presence(given["population"]["table"], float(least), float(most))


def _hierarchies(options: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            if isinstance(value.get("rows"), list):
                yield name, value["rows"]
            yield from _hierarchies(value)


def _names(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _each(given: Any, letter: str, sensitive: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sensitive columns, each with its demand as a mapping."""
    if given is None:
        return
    if isinstance(given, int | float):
        yield from ((column, {letter: given}) for column in sensitive)
    elif isinstance(given, Mapping) and letter in given:
        named = next((_names(given[name]) for name in _COLUMN if name in given), sensitive)
        yield from ((column, given) for column in named)
    elif isinstance(given, Mapping):
        for column, one in given.items():
            yield from _each(one, letter, (column,))
    else:
        for one in given:
            yield from _each(one, letter, sensitive)
