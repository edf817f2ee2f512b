"""Finds the next line of a text without holding the present one, however long it is."""

from __future__ import annotations

from typing import Final

from connectors.sources.formats.window import MARK_BYTES, Input

STEP: Final = 1 << 20


def line_behind(source: Input, offset: int, final: bool, marks: bytes = b"\r\n") -> tuple[int, bytes] | None:
    """Where the line after the one at `offset` begins, and some bytes before that place.

    `marks` are the bytes that end a line. None if the line has no end yet and one may still come.
    """
    before = b""
    while block := source.read(offset, STEP):
        ends = [place for place in map(block.find, marks) if place >= 0]
        if ends and min(ends) + 1 < len(block):
            end = min(ends) + (2 if block[min(ends) : min(ends) + 2] == b"\r\n" else 1)
            return offset + end, (before + block[:end])[-MARK_BYTES:]
        before = (before + block)[-MARK_BYTES:]
        if ends:  # the line end is the block's last byte: a CR may go on as CR LF
            follows = source.read(offset + len(block), 1) == b"\n" and block.endswith(b"\r")
            return offset + len(block) + follows, (before + b"\n" * follows)[-MARK_BYTES:]
        offset += len(block)
    return (offset, before) if final else None
