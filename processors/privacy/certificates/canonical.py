"""One text for one JSON document: RFC 8785 (JCS). What two programs write differently is signed the same.

Always holds: members stand in the order of their names' UTF-16 code units, numbers are written as ECMAScript writes
them, strings escape what they must and nothing else. What JSON has no exact form for is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

_EXACT: Final = 2**53 - 1


def canonical(value: Any) -> bytes:
    """The document's canonical bytes; raises `ValueError` for what has none."""
    return _text(value).encode()  # a lone surrogate has no UTF-8 and is a ValueError


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise ValueError(f"{value} is no exact number of JSON; write it as text")
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(name)}:{_text(value[name])}" for name in names) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return "[" + ",".join(map(_text, value)) + "]"
    raise ValueError(f"{type(value).__name__} is nothing of JSON")


def _number(value: float) -> str:
    """The shortest digits that give the number back, placed as ECMAScript places them."""
    if not math.isfinite(value):
        raise ValueError("a number of JSON is finite")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text, minus = "".join(map(str, digits)), "-" * sign
    point = len(text) + int(exponent)  # where the decimal point stands
    if 0 < point <= 21:
        whole = text[:point].ljust(point, "0")
        return minus + whole + ("." + text[point:] if len(text) > point else "")
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    power = point - 1
    return f"{minus}{text[0]}{'.' + text[1:] if len(text) > 1 else ''}e{'+' if power > 0 else '-'}{abs(power)}"
