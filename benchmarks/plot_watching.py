"""A thousand maildrops as a picture: ``python -m benchmarks.plot_watching watching.json waiting.json picture.svg``.

Above, what one triggerer needs and how soon it sees, over the number of maildrops; below, what a thousand mailboxes
cost beside tasks that wait on workers. Every point and bar carries its number.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]
COLOURS = ("#1b7f5c", "#3b6fb6")
OTHERS = "#c77f2a"
WIDE, HIGH, MARGIN = 330, 150, 60
"""Of a panel, and the space at its left."""


def panel(left: float, top: float, title: str, series: Mapping[str, Points]) -> list[str]:
    """Lines over a logarithmic number of maildrops, upwards from nought."""
    highest = max(y for points in series.values() for _, y in points) * 1.15
    numbers = sorted({x for points in series.values() for x, _ in points})
    first, last = math.log(numbers[0]), math.log(numbers[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        along = (math.log(x) - first) / (last - first)
        return round(left + along * (WIDE - MARGIN), 1), round(top + HIGH - y / highest * (HIGH - 24), 1)

    shapes = [
        f'<text x="{left}" y="{top}" class="t">{escape(title)}</text>',
        f'<line x1="{left}" y1="{top + HIGH}" x2="{left + WIDE - MARGIN}" y2="{top + HIGH}" stroke="#999"/>',
    ]
    shapes += [
        f'<text x="{at(x, 0)[0]}" y="{top + HIGH + 14}" class="n" text-anchor="middle">{x:,.0f}</text>'
        for x in numbers
    ]
    for colour, (name, points) in zip(COLOURS, series.items(), strict=True):
        places = [at(x, y) for x, y in points]
        line = " ".join(f"{x},{y}" for x, y in places)
        shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes += [
            f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
            f'<text x="{x}" y="{y - 5}" class="n" text-anchor="middle" fill="{colour}">{value:.3g}</text>'
            for (x, y), (_, value) in zip(places, points, strict=True)
        ]
        x, y = places[-1]
        shapes.append(f'<text x="{x + 16}" y="{y + 4}" class="n" fill="{colour}">{escape(name)}</text>')
    return shapes


def bars(left: float, top: float, title: str, values: Mapping[str, float]) -> list[str]:
    """One bar a way of waiting, the first one ours."""
    most = max(values.values())
    shapes = [f'<text x="{left}" y="{top}" class="t">{escape(title)}</text>']
    for place, (name, value) in enumerate(values.items()):
        y, width = top + 12 + place * 20, max(1.5, value / most * (WIDE - MARGIN - 120))
        shapes.append(
            f'<rect x="{left + 110}" y="{y}" width="{width:.1f}" height="14" fill="{OTHERS if place else COLOURS[0]}"/>'
            f'<text x="{left + 104}" y="{y + 11}" class="n" text-anchor="end">{escape(name)}</text>'
            f'<text x="{left + 114 + width:.1f}" y="{y + 11}" class="n">{value:.3g}</text>'
        )
    return shapes


def picture(watching: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """The SVG."""
    rows = [row for row in watching["rows"] if row["server"] == "Twisted" and not row["at_a_silent_server"]]
    rows.sort(key=lambda row: int(row["maildrops"]))

    def over(key: str, part: str = "") -> Points:
        return [(row["maildrops"], row[key][part] if part else row[key]) for row in rows]

    largest = rows[-1]
    memory, processors = (
        sum(largest[f"{what}_{who}"] for who in ("of_the_watchers", "of_airflows_bookkeeping"))
        for what in ("memory_mib", "processor")
    )
    many = largest["maildrops"]
    right, below, last = 40 + WIDE, 60 + HIGH + 50, 60 + 2 * (HIGH + 50)
    shapes = [
        *panel(40, 60, "memory, MiB (PSS)", {
            "watchers": over("memory_mib_of_the_watchers"), "Airflow's": over("memory_mib_of_airflows_bookkeeping"),
        }),
        *panel(right, 60, "processor, cores", {
            "watchers": over("processor_of_the_watchers"), "Airflow's": over("processor_of_airflows_bookkeeping"),
        }),
        *panel(40, below, "lag of the event loop, ms", {
            "p99": over("loop_lag_ms", "p99"), "median": over("loop_lag_ms", "median"),
        }),
        *panel(right, below, f"from delivery to event, s; a look every {largest['poll_interval']:.0f} s", {
            "p95": over("detection_delay_seconds", "p95"), "median": over("detection_delay_seconds", "median"),
        }),
        *bars(40, last, f"memory for {many:,} mailboxes, GiB", {
            "one triggerer": memory / 1024,
            **{
                row["practice"]: row["a_thousand_memory_gib"] * many / 1000
                for row in waiting["rows"] if row["practice"].endswith("poke")  # the others wait in the database
            },
        }),
        *bars(right, last, f"processor for {many:,} mailboxes, cores", {
            "one triggerer": processors,
            **{row["practice"]: row["a_thousand_processors"] * many / 1000 for row in waiting["rows"]},
        }),
    ]  # fmt: skip
    machine = watching["machine"]
    title = f"Watching maildrops · {machine['cores']} × {machine['processor']}, Python {machine['python']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDE + 60}" height="{last + 100}" '
        'font-family="sans-serif" font-size="12" fill="#222">'
        "<style>.n{font-size:10px}.t{font-weight:bold}</style>"
        '<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>' + "\n".join(shapes) + "</svg>\n"
    )


if __name__ == "__main__":
    watching_file, waiting_file, target = map(Path, sys.argv[1:])
    target.write_text(picture(json.loads(watching_file.read_text()), json.loads(waiting_file.read_text())))
