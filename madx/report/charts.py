"""Figures as SVG, of our own drawing: for files and papers. The page draws its own from the same numbers."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from madx.report.tables import plain, signed
from madx.scores.matrix import Matrix
from madx.scores.paired import Difference
from madx.scores.summary import ProfilePoint

COLOURS = ("#0b6e99", "#b3541e", "#4d7c0f", "#7c3aed", "#be185d", "#57534e", "#0f766e", "#a16207", "#1d4ed8", "#9f1239")
LETTER = 6.6  # width of a character at 12 px, about
Rgb = tuple[float, float, float]
BELOW, MIDDLE, ABOVE = (178.0, 84.0, 30.0), (247.0, 247.0, 245.0), (11.0, 110.0, 153.0)


def _document(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" font-size="12" role="img">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", fill: str = "#222", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = "#777", width: float = 1) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{stroke}" stroke-width="{width}" fill="none"/>'


def luminance(colour: Rgb) -> float:
    """WCAG 2.2's relative luminance of an sRGB colour, 0 to 255 a channel."""
    parts = [c / 255 for c in colour]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ink(colour: Rgb) -> str:
    """Black or white, whichever is read better: at least 4.58 to 1 on any colour."""
    return "#000" if (luminance(colour) + 0.05) / 0.05 >= 1.05 / (luminance(colour) + 0.05) else "#fff"


def shade(share: float) -> Rgb:
    """-1 (below the others) to 1 (above them)."""
    end, part = (ABOVE, share) if share >= 0 else (BELOW, -share)
    red, green, blue = [m + (e - m) * min(1.0, part) for m, e in zip(MIDDLE, end, strict=True)]
    return red, green, blue


def heat_map(matrix: Matrix, names: dict[str, str]) -> str:
    """Targets x methods. A number is the score; its colour, how far that is above or below the row's mean."""
    rows = [*matrix.targets, *matrix.sources]
    grid = {t: {m: row.value for m in matrix.methods if (row := matrix.at(t, m))} for t in rows}
    apart = {t: {m: v - sum(own.values()) / len(own) for m, v in own.items()} for t, own in grid.items()}
    most = max((abs(v) for own in apart.values() for v in own.values()), default=0.0) or 1.0
    left = 12 + LETTER * max(len(names[t]) for t in rows)
    wide, top = max(64.0, 12 + LETTER * max(map(len, matrix.methods))), 28.0
    parts = [_text(left + wide * (i + 0.5), 18, m, "middle") for i, m in enumerate(matrix.methods)]
    for j, target in enumerate(rows):
        y = top + 22 * j
        parts.append(_text(left - 6, y + 15, names[target], "end"))
        for i, method in enumerate(matrix.methods):
            x = left + wide * i
            if method not in grid[target]:
                parts.append(_text(x + wide / 2, y + 15, "none", "middle", "#6b6b6b"))
                continue
            colour = shade(apart[target][method] / most)
            fill = "#" + "".join(f"{round(c):02x}" for c in colour)
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{wide - 1:.1f}" height="21" fill="{fill}"/>')
            parts.append(_text(x + wide / 2, y + 15, plain(grid[target][method]), "middle", ink(colour)))
    about = f"{matrix.metric}, percent; colour: {signed(-most)} to {signed(most)} points from the row's mean"
    height = top + 22 * len(rows) + 26
    parts.append(_text(6, height - 8, about, fill="#444"))
    return _document(max(left + wide * len(matrix.methods) + 6, LETTER * len(about)), height, parts, about)


def gains(rows: Sequence[Difference], names: dict[str, str]) -> str:
    """Differences to one reference with their intervals: a line per target, a colour per method."""
    methods = list(dict.fromkeys(row.method for row in rows))
    targets = list(dict.fromkeys(row.target for row in rows))
    low, high = min(0.0, *(r.ci_low for r in rows)), max(0.0, *(r.ci_high for r in rows))
    left, wide, step = 12 + LETTER * max(len(names[t]) for t in targets), 420.0, 10 + 9 * len(methods)
    top, span = 16.0 + 16 * len(methods), (high - low) or 1.0

    def at(value: float) -> float:
        return left + wide * (value - low) / span

    parts = [
        f'<circle cx="{left:.0f}" cy="{12 + 16 * i}" r="4" fill="{COLOURS[i % len(COLOURS)]}"/>'
        + _text(left + 10, 16 + 16 * i, m)
        for i, m in enumerate(methods)
    ]
    bottom = top + step * len(targets)
    parts.append(_line(at(0), top, at(0), bottom))
    for j, target in enumerate(targets):
        parts.append(_text(left - 8, top + step * (j + 0.5) + 4, names[target], "end"))
        for i, method in enumerate(methods):
            for row in (r for r in rows if r.target == target and r.method == method):
                y, colour = top + step * j + 9 + 9 * i, COLOURS[i % len(COLOURS)]
                parts.append(_line(at(row.ci_low), y, at(row.ci_high), y, colour, 1.5))
                parts.append(f'<circle cx="{at(row.value):.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    parts += [_text(at(v), bottom + 14, signed(v), "middle", "#444") for v in {low, 0.0, high}]
    about = f"points above or below {rows[0].baseline}, with 95 % intervals"
    parts.append(_text(left, bottom + 32, about, fill="#444"))
    return _document(left + wide + 40, bottom + 42, parts, about)


def profile(rows: Sequence[ProfilePoint]) -> str:
    """Performance profiles: the share of targets and seeds above a score; the band is the 95 % interval."""
    methods = list(dict.fromkeys(row.method for row in rows))
    low, high = min(r.score for r in rows), max(r.score for r in rows)
    left, top, wide, tall = 46.0, 16.0 + 16 * len(methods), 440.0, 240.0

    def point(score: float, share: float) -> str:
        return f"{left + wide * (score - low) / ((high - low) or 1):.1f} {top + tall * (1 - share):.1f}"

    parts = [_line(left, top, left, top + tall), _line(left, top + tall, left + wide, top + tall)]
    for i, method in enumerate(methods):
        colour, own = COLOURS[i % len(COLOURS)], [row for row in rows if row.method == method]
        band = [point(r.score, r.ci_high) for r in own] + [point(r.score, r.ci_low) for r in reversed(own)]
        parts.append(f'<path d="M{"L".join(band)}Z" fill="{colour}" opacity="0.15"/>')
        line = "L".join(point(r.score, r.share) for r in own)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            _line(left, 12 + 16 * i, left + 14, 12 + 16 * i, colour, 2) + _text(left + 20, 16 + 16 * i, method)
        )
    parts += [_text(left - 6, top + tall * (1 - v) + 4, f"{v:.1f}", "end", "#444") for v in (0.0, 0.5, 1.0)]
    parts += [_text(left + wide * (v - low) / ((high - low) or 1), top + tall + 16, plain(v), "middle", "#444")
              for v in {low, high}]  # fmt: skip
    about = "share of targets and seeds above a score"
    parts.append(_text(left, top + tall + 36, about, fill="#444"))
    return _document(left + wide + 30, top + tall + 46, parts, about)


def curve(series: Mapping[str, Sequence[tuple[float, float]]], about: str, even: bool = False) -> str:
    """Lines through (x, y) points, one a name, x ascending; both axes say their ends. `even`: xs at equal distances."""
    xs, ys = [x for own in series.values() for x, _ in own], [y for own in series.values() for _, y in own]
    left, top, wide, tall = 60.0, 16.0 + 16 * len(series), 440.0, 240.0
    places = {x: float(i) if even else x for i, x in enumerate(sorted(set(xs)))}
    first, last = min(places.values()), max(places.values())

    def point(x: float, y: float) -> tuple[float, float]:
        across, up = (places[x] - first) / ((last - first) or 1), (y - min(ys)) / ((max(ys) - min(ys)) or 1)
        return left + wide * across, top + tall * (1 - up)

    parts = [_line(left, top, left, top + tall), _line(left, top + tall, left + wide, top + tall)]
    for i, (name, own) in enumerate(series.items()):
        colour, points = COLOURS[i % len(COLOURS)], [point(x, y) for x, y in own]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(_line(left, 12 + 16 * i, left + 14, 12 + 16 * i, colour, 2) + _text(left + 20, 16 + 16 * i, name))
    for y in sorted({min(ys), max(ys)}):
        parts.append(_text(left - 6, point(min(xs), y)[1] + 4, plain(y), "end", "#444"))
    parts += [_text(point(x, min(ys))[0], top + tall + 16, f"{x:g}", "middle", "#444") for x in places]
    parts.append(_text(left, top + tall + 36, about, fill="#444"))
    return _document(max(left + wide + 30, left + LETTER * len(about)), top + tall + 46, parts, about)
