"""What a page of Markdown holds: links, code spans and fenced blocks, each with its line. Knows no project."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_FENCE: Final = re.compile(r"^\s*(```+|~~~+)\s*([\w-]*)\s*$")
_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)")
_NAMED: Final = re.compile(r"^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$")
_HEADING: Final = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of code."""

    line: int
    language: str
    code: str


@dataclass
class Page:
    links: list[tuple[int, str]] = field(default_factory=list)
    spans: list[tuple[int, str]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


def read_page(text: str) -> Page:
    page = Page()
    fence, language, start, code = "", "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark.group(1).startswith(fence) and not mark.group(2):
                page.blocks.append(Block(start, language, "\n".join(code) + "\n"))
                fence = ""
            else:
                code.append(line)
        elif mark:
            fence, language, start, code = mark.group(1), mark.group(2), number + 1, []
        else:
            _read_line(page, number, line)
    if fence:
        page.blocks.append(Block(start, language, "\n".join(code) + "\n"))
    return page


def _read_line(page: Page, number: int, line: str) -> None:
    heading = _HEADING.match(line)
    if heading:
        page.anchors.add(anchor(heading.group(1)))
    page.spans += [(number, match.group(2).strip()) for match in _SPAN.finditer(line)]
    bare = _SPAN.sub(lambda match: "x" * len(match.group(0)), line)
    page.links += [(number, match.group(1)) for match in _LINK.finditer(bare)]
    named = _NAMED.match(bare)
    if named:
        page.links.append((number, named.group(1)))


def anchor(heading: str) -> str:
    """How a heading is linked to: lower case, no punctuation, hyphens for spaces."""
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.replace(" ", "-")
