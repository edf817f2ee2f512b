"""The curve of risk and utility over k as an SVG: one drawing that any browser shows, in light and in dark.

Two panels share the axis of k: above what stays at risk, below what is lost. Both begin at zero. Knows points alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from processors.privacy.measured.preview import Point

_WIDTH: Final = 800
_LEFT, _RIGHT, _TOP = 64, 216, 104
_PANEL, _GAP = 176, 60
_LINE: Final = 17
_LONGEST: Final = 92  # letters of the line below the title
_STYLE: Final = """
svg{background:#fff;color:#1c2430;font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
text{fill:currentColor}.h{font-size:17px;font-weight:600}.p{font-weight:600}.q{fill:#5b6675}
.g{stroke:#e3e7ec}.a{stroke:#9aa4b1}.l{fill:none;stroke-width:2.2;stroke-linejoin:round}.x{fill:#fbeaea}
@media(prefers-color-scheme:dark){svg{background:#141a22;color:#e8edf3}.q{fill:#9aa7b5}.g{stroke:#2a3441}
.a{stroke:#5b6675}.x{fill:#3a2226}}
""".strip()
Series = tuple[str, str, Callable[[Point], float | None]]
_RISK: Final[tuple[Series, ...]] = (
    ("prosecutor", "#c2352b", lambda one: one.prosecutor),
    ("journalist", "#dd8a1e", lambda one: one.journalist),
    ("marketer", "#8a6d1f", lambda one: one.marketer),
)
_LOSS: Final[tuple[Series, ...]] = (
    ("NCP", "#1f6fb5", lambda one: one.ncp),
    ("suppressed", "#6b4fa3", lambda one: one.suppressed_share),
)


def draw(points: Sequence[Point], title: str, about: str) -> str:
    """The drawing; at least one point."""
    below = _TOP + _PANEL + _GAP
    floor, height = below + _PANEL, below + _PANEL + 62
    places = _places(len(points))
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    ks = [_text(x, floor + 20, str(one.k), "middle") for one, x in zip(points, places, strict=True)]
    shown = about if len(about) <= _LONGEST else f"{about[: _LONGEST - 1]}…"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        _text(_LEFT, 30, title, kind="h"),
        _text(_LEFT, 52, shown, kind="q"),
        *_panel(points, places, _TOP, "Risk of being found", _RISK),
        *_panel(points, places, below, "Information lost", _LOSS),
        *ks,
        _text((_LEFT + _WIDTH - _RIGHT) / 2, floor + 44, "k: records in a group at least", "middle", "q"),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _places(number: int) -> list[float]:
    """Side by side: the ks that people try double, and would crowd on an axis of numbers."""
    inside = _WIDTH - _LEFT - _RIGHT - 40
    return [_LEFT + 20 + (inside * i / (number - 1) if number > 1 else inside / 2) for i in range(number)]


def _panel(
    points: Sequence[Point], places: Sequence[float], top: int, name: str, series: Sequence[Series]
) -> list[str]:
    held = [(one, x) for one, x in zip(points, places, strict=True) if not one.refused]
    most = _ceiling(max((read(one) or 0.0 for one, _ in held for _, _, read in series), default=0.0))

    def y(share: float) -> float:
        return top + _PANEL * (1 - share / most)

    parts = [_text(_LEFT, top - 12, name, kind="p"), *_grid(most, y)]
    parts += [_refused(one, x, top) for one, x in zip(points, places, strict=True) if one.refused]
    ends: dict[tuple[float, ...], tuple[str, str, float]] = {}
    for label, colour, read in series:
        marks = [(x, y(share), f"{label} {share:.2%}") for one, x in held if (share := read(one)) is not None]
        course = tuple(at for _, at, _ in marks)
        if course in ends:  # two that are always equal are one line
            before, its, share = ends[course]
            ends[course] = (f"{before}, {label}", its, share)
        elif marks:
            parts += _line(colour, marks)
            ends[course] = (label, colour, read(held[-1][0]) or 0.0)
    named = [(course[-1], f"{label} {_percent(share)}", colour) for course, (label, colour, share) in ends.items()]
    return parts + _labels(named, top + _PANEL, max(places))


def _grid(most: float, y: Callable[[float], float]) -> list[str]:
    parts = []
    for step in range(5):
        at, kind = y(most * step / 4), "g" if step else "a"
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 8, at + 4, _percent(most * step / 4), "end", "q"))
    return parts


def _line(colour: str, marks: Sequence[tuple[float, float, str]]) -> list[str]:
    """Through points that say what they are when they are pointed at."""
    through = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in marks)
    return [
        f'<polyline class="l" stroke="{colour}" points="{through}"/>',
        *(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"><title>{escape(says)}</title></circle>'
            for x, y, says in marks
        ),
    ]


def _refused(one: Point, x: float, top: int) -> str:
    says = f"<title>{escape(f'k = {one.k}: {one.refused}')}</title>"
    turned = f'transform="translate({x + 4:.1f} {top + _PANEL / 2}) rotate(-90)"'
    return (
        f'<rect class="x" x="{x - 16:.1f}" y="{top}" width="32" height="{_PANEL}">{says}</rect>'
        f'<text class="q" text-anchor="middle" {turned}>not possible</text>'
    )


def _labels(ends: list[tuple[float, str, str]], floor: float, right: float) -> list[str]:
    """Beside the ends of their lines, moved apart and upward where these meet."""
    parts, last = [], floor + _LINE
    for at, text, colour in sorted(ends, reverse=True):
        last = min(at, last - _LINE)
        style = f'style="fill:{colour};font-weight:600"'
        parts.append(f'<text x="{right + 26:.1f}" y="{last + 4:.1f}" {style}>{escape(text)}</text>')
    return parts


def _ceiling(share: float) -> float:
    """The first round number that is not below."""
    rounds = (0.001, 0.002, 0.004, 0.01, 0.02, 0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    return next((one for one in rounds if share <= one), 1.0)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share * 100:.2g} %".replace(" ", "")
