"""The figures of a run as a picture: ``python -m benchmarks.plot results/retrieve.json picture.svg``.

One group of bars a case, one bar a contender, its length the ratio to the raw reader; the longest way to the server is
cut off where the bar would be invisible otherwise, so every bar carries its number.
"""

from __future__ import annotations

import json
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


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(json.loads(Path(sys.argv[1]).read_text())))
