"""Whether data has the form of a pydantic model: its findings in words that a task's author can act on.

Of a value that may have several forms, only the findings of the form that comes closest are told.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError

from schemas.task.text import Finding, Place

NAME: Final = "begin with a letter, then letters, digits and _, 48 in all at most"
ADVICE: Final[dict[str, str]] = {
    "task": "name the task: task: people",
    "tables": "describe at least one table: tables: {person: {columns: ..., sources: ...}}",
    "type": "give its type",
    "conflicts": "write drop_all, keep_all or {prefer: [SOURCE, ...]}",
    "outside": "say what happens outside of the range: outside: drop or outside: clamp",
    "prefer": "list every source of the table, the most trusted first",
    "changes": "write changes: true or changes: {order_by: COLUMN, delete: {column: COLUMN, equals: VALUE}}",
    "connector": "name the connector, such as csv",
    "method": "name the method, such as suppress",
    "from": "name one table: from: {order: {join: {product: sku}}}",
    "references": "write TABLE.COLUMN",
    "primary_key": "write primary_key: {column: id, conflicts: {prefer: [SOURCE, ...]}}",
    "columns": "write columns: {NAME: ...}",
    "small_groups": "write small_groups: {k: 5, subject: COLUMN}, or small_groups: publish",
    "levels": "list what groups are merged into, from fine to coarse: levels: [{day: {unit: month}}]",
}
_HIDDEN: Final = "connections"  # never repeat what stands below it


def meant(word: str, known: Iterable[str]) -> str:
    """What would be right instead of an unknown word."""
    names = sorted(known)
    cutoff = 0.6 if len(word) > 3 else 0.5
    close = get_close_matches(word, names, n=1, cutoff=cutoff) or [
        name for name in names if name.lower() == word.lower()
    ]
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}" if names else "none is known here"


def validated(model: Any, data: Any, place: Place) -> tuple[Any, list[Finding]]:
    """The model's instance, or what keeps the data from being one."""
    try:
        if isinstance(model, type) and issubclass(model, BaseModel):
            return model.model_validate(data), []
        return TypeAdapter(model).validate_python(data), []
    except ValidationError as error:
        return None, [_finding(fault, model, place) for fault in _closest(_faults(error, data))]


def validated_options(model: Any, options: dict[str, Any], place: Place) -> list[Finding]:
    """What is wrong with options in which secrets are only named: the values of those can't be judged."""
    named = {(*place, key) for key, value in options.items() if is_secret(value)}
    findings = validated(model, options, place)[1]
    return [finding for finding in findings if finding.place[: len(place) + 1] not in named]


def is_secret(value: Any) -> bool:
    """Whether this is `{env: NAME}` or `{file: PATH}`."""
    return isinstance(value, dict) and len(value) == 1 and not value.keys().isdisjoint({"env", "file"})


@dataclass(frozen=True)
class _Fault:
    """One of pydantic's errors, its path split into what exists in the data and the forms that were tried."""

    place: Place
    union: Place | None  # where the value stands that has several forms
    form: Any
    detail: Any

    @property
    def depth(self) -> int:
        return len(self.place)


def _faults(error: ValidationError, data: Any) -> list[_Fault]:
    faults = []
    for detail in error.errors(include_url=False):
        place: list[str | int] = []
        union, form, current = None, None, data
        for index, part in enumerate(detail["loc"]):
            last = index == len(detail["loc"]) - 1
            inside = isinstance(current, dict) and part in current
            if inside or (isinstance(current, list) and isinstance(part, int) and part < len(current)):
                place.append(part)
                current = current[part]
            elif last and detail["type"] == "missing":
                place.append(part)
            elif part != "[key]" and union is None:
                union, form = tuple(place), part
        faults.append(_Fault(tuple(place), union, form, detail))
    return faults


def _closest(faults: Sequence[_Fault]) -> list[_Fault]:
    """Of each value of several forms, the faults of the form that was read the furthest."""
    chosen = [fault for fault in faults if fault.union is None]
    for union in dict.fromkeys(fault.union for fault in faults if fault.union is not None):
        tried = [fault for fault in faults if fault.union == union]
        best = max(tried, key=lambda fault: fault.depth)
        if best.depth == len(union):
            chosen.append(tried[0])
        else:
            chosen += [fault for fault in tried if fault.form == best.form]
    return chosen


def _finding(fault: _Fault, model: Any, place: Place) -> Finding:
    kind, here = fault.detail["type"], (*place, *fault.place)
    key = str(here[-1]) if here else ""
    cause = fault.detail.get("ctx", {}).get("error")
    if cause is not None and hasattr(cause, "right"):
        return Finding((*here, *getattr(cause, "at", ())), cause.wrong, cause.right)
    if kind == "missing":
        return Finding(here[:-1], f"{key} is missing", ADVICE.get(key, f"add {key}"))
    if kind == "extra_forbidden":
        return Finding(here, f"the key {key} is not known here", meant(key, keys_at(model, fault.place[:-1])))
    if "[key]" in fault.detail["loc"] or _is_name(fault.detail):
        value = key if "[key]" in fault.detail["loc"] else fault.detail["input"]
        own = "; names that begin with _ are the engine's own" if str(value).startswith("_") else ""
        return Finding(here, f"{_shown(value, here)} is not a name", NAME + own)
    return _unfit(fault, here, key)


def _unfit(fault: _Fault, here: Place, key: str) -> Finding:
    detail = fault.detail
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = detail["input"]
    if detail["type"] == "literal_error" and not (fault.union and fault.depth == len(fault.union)):
        options = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        right = f"write one of {', '.join(options)}"
        if isinstance(value, str) and get_close_matches(value, options):
            right = f"{meant(value, options)} {right}"
        return Finding(here, f"{_shown(value, here)} is not known here", right)
    right = ADVICE[key] if key in ADVICE else message[0].lower() + message[1:]
    return Finding(here, f"{_shown(value, here)} does not fit", right)


def _is_name(detail: Any) -> bool:
    return bool(detail["type"] == "string_pattern_mismatch" and detail["ctx"]["pattern"].endswith("{0,47}$"))


def _shown(value: Any, here: Place) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    if here[:1] == (_HIDDEN,):
        return "the value"
    return text if len(text) <= 40 else f"{text[:37]}..."


def keys_at(model: Any, place: Place) -> list[str]:
    """The keys that a model knows at a place within it."""
    candidates = _forms(model)
    for part in place:
        candidates = [inner for form in candidates for inner in _below(form, part)]
    return [field.alias or name for form in candidates if _fields(form) for name, field in _fields(form).items()]


def _fields(form: Any) -> dict[str, Any]:
    return form.model_fields if isinstance(form, type) and issubclass(form, BaseModel) else {}


def _below(form: Any, part: str | int) -> list[Any]:
    if get_origin(form) is dict:
        return _forms(get_args(form)[1])
    if get_origin(form) is list:
        return _forms(get_args(form)[0])
    found = (field for name, field in _fields(form).items() if part in (name, field.alias))
    return [inner for field in found for inner in _forms(field.annotation)]


def _forms(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _forms(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [form for option in get_args(annotation) for form in _forms(option)]
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _forms(annotation.model_fields["root"].annotation)
    return [annotation]
