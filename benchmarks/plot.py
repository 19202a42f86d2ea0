"""The figures of a run as a picture: ``python -m benchmarks.plot results/retrieve.json picture.svg``.

Of retrieval: one group of bars a case, one bar a contender, its length the ratio to the raw reader; the longest way to
the server is cut off where the bar would be invisible otherwise, so every bar carries its number. Of ``mail.json``:
what one mail costs by its octets and by its parts, both ways ten times as much a step, so that what grows in
proportion lies on the line.
"""

from __future__ import annotations

import json
import math
import sys
from html import escape
from pathlib import Path
from typing import Any

COLOURS = {
    "gateway": "#1b7f5c",
    "tasks": "#63b596",
    "mpop": "#3b6fb6",
    "curl": "#7a8fb0",
    "poplib": "#c77f2a",
    "fetchmail": "#a9755a",
    "getmail6": "#8c8c8c",
}
LEFT, WIDE, BAR, GAP = 250, 560, 13, 15
FULL = 1.1
"""The ratio at the right edge."""
SIDE, EDGE = 300, 70
"""Pixels of a panel, and around it."""


def picture(document: dict[str, Any]) -> str:
    """The SVG."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for row in document["rows"]:
        if row["contender"] in COLOURS and not row["failure"]:
            cases.setdefault(row["case"], []).append(row)
    shapes: list[str] = []
    y = 44
    for case, rows in cases.items():
        rows.sort(key=lambda row: list(COLOURS).index(row["contender"]))
        middle = y + len(rows) * BAR / 2 + 4
        shapes.append(f'<text x="{LEFT - 12}" y="{middle:.0f}" text-anchor="end">{escape(case)}</text>')
        for row in rows:
            width = max(1.0, min(row["ratio"], FULL) / FULL * WIDE)
            shapes.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[row["contender"]]}"/>'
                f'<text x="{LEFT + width + 4:.1f}" y="{y + BAR - 3}" class="n">'
                f"{row['ratio']:.3g} {row['contender']}</text>"
            )
            y += BAR
        y += GAP
    limit = LEFT + WIDE / FULL
    machine = document["machine"]
    title = (
        f"Speed of retrieval, raw reader = 1 · {machine['cores']} × {machine['processor']}, "
        f"Python {machine['python']}, {document['server'].split(' (')[0]}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 110}" height="{y + 10}" '
        'font-family="sans-serif" font-size="12" fill="#222">'
        '<style>.n{font-size:10px}</style><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>'
        f'<line x1="{limit:.0f}" y1="34" x2="{limit:.0f}" y2="{y}" stroke="#999" stroke-dasharray="3 3"/>'
        + "\n".join(shapes)
        + "</svg>\n"
    )


def panel(points: list[tuple[float, float]], title: str, unit: str, scale: int, left: int) -> str:
    """One curve on logarithmic scales, with the line of proportion through its last point."""
    low, high = (math.floor(math.log10(points[0][0])), math.ceil(math.log10(points[-1][0])))
    bottom = math.floor(min(math.log10(seconds) for _, seconds in points))
    step = SIDE / (high - low)  # pixels of a factor of ten, the same both ways

    def at(amount: float, seconds: float) -> tuple[float, float]:
        return (
            left + (math.log10(amount) - low) * step,
            EDGE + SIDE - (math.log10(seconds) - bottom) * step,
        )

    shapes = [
        f'<text x="{left}" y="{EDGE - 14}" font-size="13">{escape(title)}</text>',
        f'<rect x="{left}" y="{EDGE}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#bbb"/>',
    ]
    for power in range(high - low + 1):
        x, y = left + power * step, EDGE + SIDE - power * step
        shapes.append(
            f'<text x="{x:.0f}" y="{EDGE + SIDE + 16}" text-anchor="middle">{10 ** (low + power) // scale:,}</text>'
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{10.0 ** (bottom + power):g} s</text>'
        )
    shapes.append(f'<text x="{left + SIDE}" y="{EDGE + SIDE + 34}" text-anchor="end">{escape(unit)}</text>')
    amount, seconds = points[-1]
    first = points[0][0]
    (x1, y1), (x2, y2) = at(first, seconds * first / amount), at(amount, seconds)
    shapes.append(
        f'<line x1="{x1:.1f}" y1="{min(y1, EDGE + SIDE):.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#999" '
        'stroke-dasharray="3 3"/>'
    )
    for point in points:
        x, y = at(*point)
        shapes.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS["gateway"]}"/>'
            f'<text x="{x + 7:.1f}" y="{y + 12:.1f}" class="n">{point[1]:.3g} s</text>'
        )
    return "\n".join(shapes)


def growth(document: dict[str, Any]) -> str:
    """The SVG of what one mail costs."""
    points = document["linear"]
    by_octets = [(point["octets"], point["cpu"]) for point in points if point["parts"] == 2]
    by_parts = [(point["parts"], point["cpu"]) for point in points if point["parts"] != 2]
    width, height = 2 * SIDE + 4 * EDGE, SIDE + 2 * EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#222">'
        '<style>.n{font-size:10px}</style><rect width="100%" height="100%" fill="#fff"/>'
        '<text x="12" y="22" font-size="14">Processor time of one mail; dotted: in proportion</text>'
        + panel(by_octets, "by its octets, two parts", "MB", 10**6, EDGE)
        + panel(by_parts, "by its parts, 60 octets each", "parts", 1, 3 * EDGE + SIDE)
        + "</svg>\n"
    )


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(growth(found) if "linear" in found else picture(found))
