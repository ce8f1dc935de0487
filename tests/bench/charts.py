"""How a figure grows with size, as an SVG picture: size on a logarithmic axis, ours and the floor above it."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.bench.figures import Figure

SIZES = 3
"""A figure that is measured at fewer sizes shows no growth."""
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 60, 50
STEPS = (1, 2, 2.5, 5, 10)
"""The lines of the vertical axis are this far apart, times a power of ten."""
STYLE = """
    text { font: 13px sans-serif; fill: #24292f }
    .title { font-weight: bold }
    .grid { stroke: #d0d7de }
    .ours { stroke: #0550ae; fill: #0550ae }
    .floor { stroke: #953800; fill: #953800; stroke-dasharray: 6 4 }
    polyline { fill: none !important; stroke-width: 2 }"""


def draw(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write a picture of every figure that is measured at several sizes, and return them."""
    found: dict[tuple[str, str], list[Figure]] = {}
    for each in figures:
        if each.size:
            found.setdefault((each.metric, each.what), []).append(each)
    drawn = []
    for (metric, what), grown in found.items():
        if len({each.size for each in grown}) >= SIZES:
            folder.mkdir(parents=True, exist_ok=True)
            words = re.sub(r"[^a-z0-9]+", "-", f"{metric} {what}".lower()).strip("-")
            path = folder / f"{words}.svg"
            path.write_text(chart(sorted(grown, key=lambda each: each.size or 0)))
            drawn.append(path)
    return drawn


def chart(grown: Sequence[Figure]) -> str:
    """Return one figure at its sizes, smallest first, as an SVG picture."""
    return "\n".join([*_frame(grown), *_line("ours", grown), *_line("floor", grown), "</svg>", ""])


def place(grown: Sequence[Figure], size: float, value: float) -> tuple[float, float]:
    """Return where a value at a size stands in the picture."""
    first, last = (math.log10(each.size or 1) for each in (grown[0], grown[-1]))
    across = (math.log10(size) - first) / (last - first)
    up = value / top(grown)[0]
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def top(grown: Sequence[Figure]) -> tuple[float, float]:
    """Return the value at the upper edge, which a whole number of steps reaches, and the step."""
    most = max(max(each.ours, each.floor) for each in grown) or 1.0
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(each * power for each in STEPS if each * power * 5 >= most)
    return step * math.ceil(most / step), step


def _frame(grown: Sequence[Figure]) -> Iterator[str]:
    title = escape(f"{grown[0].metric}: {grown[0].what}")
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_quoted(title)}">'
    yield f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    yield f'<text class="title" x="{LEFT}" y="22">{title}</text>'
    yield f'<text x="{LEFT}" y="42">{escape(grown[0].unit)}, with the size</text>'
    for name, x in (("ours", WIDTH - RIGHT - 150), ("floor", WIDTH - RIGHT - 70)):
        yield f'<line class="{name}" x1="{x}" y1="38" x2="{x + 25}" y2="38"/><text x="{x + 30}" y="42">{name}</text>'
    edge, step = top(grown)
    for number in range(round(edge / step) + 1):
        y = place(grown, grown[0].size or 1, number * step)[1]
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text text-anchor="end" x="{LEFT - 8}" y="{y + 4:.1f}">{number * step:,.6g}</text>'
    for each in grown:
        at = place(grown, each.size or 1, 0)[0]
        yield f'<text text-anchor="middle" x="{at:.1f}" y="{HEIGHT - BOTTOM + 22}">{each.size:,}</text>'


def _line(name: str, grown: Sequence[Figure]) -> Iterator[str]:
    values = [(each.size or 1, float(getattr(each, name))) for each in grown]
    points = [place(grown, size, value) for size, value in values]
    yield f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
    for (x, y), (size, value) in zip(points, values, strict=True):
        said = f"{name} at {size:,}: {value:,.4g}"
        yield f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{said}</title></circle>'


def _quoted(text: str) -> str:
    return text.replace('"', "&quot;")
