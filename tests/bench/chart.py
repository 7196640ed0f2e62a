# SPDX-License-Identifier: Apache-2.0
"""Draws the result as a chart: each measure of each contender, compared with the unencrypted path.

The upper part has the measures where more is better, as shares of the unencrypted path, on one scale. The lower part has
those where less is better (latency, CPU), as multiples of it, each on its own scale. The bar is the median of the
rounds, the whisker their spread, the figure behind it the measured value. The chart has its own background, which is
dark if the reader prefers dark pages, so that it is readable on any page.
"""
import statistics
from dataclasses import dataclass
from html import escape

from contenders import CONTENDERS, PLAIN
from measures import Measure
from report import Result

# A contender has the same colour in each chart. All are easy to see on white and on dark grey.
COLOURS = dict(zip(CONTENDERS, ["#8a9099", "#b9770e", "#7a8b1f", "#a0522d", "#c2477f", "#1a7f5a", "#2f6fde", "#8e5bd0"]))

WIDTH, LEFT, RIGHT, TOP = 900, 236, 128, 86
BAR, PITCH, GAP = 10, 13, 12
FULL = 1.1  # the end of the scale

STYLE = """
.card{fill:#fff;stroke:#d0d7de}.text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d8dee4}.base{stroke:#8a9099}
.whisker{stroke:#1f2328}
@media(prefers-color-scheme:dark){.card{fill:#151b23;stroke:#3d444d}.text{fill:#f0f6fc}.dim{fill:#9198a1}
.grid{stroke:#2f353d}.base{stroke:#9198a1}.whisker{stroke:#f0f6fc}}"""


def _text(x, y, content, kind="text", anchor="start", size=11):
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
            f'{escape(content)}</text>')


def _x(share, full):
    return LEFT + max(0.0, min(share, full)) / full * (WIDTH - LEFT - RIGHT)


def _line(kind, x1, y1, x2, y2):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _bar(row, name, full, y):
    ratios, measure = row.result.ratios(name, PLAIN, row.key), row.measure
    middle = statistics.median(ratios)
    end = _x(middle, full)
    out = [f'<rect x="{LEFT}" y="{y}" width="{max(1.0, end - LEFT):.1f}" height="{BAR}" rx="1.5" '
           f'fill="{COLOURS[name]}"><title>{escape(name)}, {escape(str(measure))}</title></rect>']
    if len(ratios) > 1:
        out.append(_line("whisker", _x(min(ratios), full), y + BAR / 2, _x(max(ratios), full), y + BAR / 2))
        end = max(end, _x(max(ratios), full))
    label = f"\u00d7 {middle:.1f}" if measure.less else f"{middle * 100:.0f} %"
    value = f"{row.result.median(name, row.key):.{measure.digits}f} {measure.unit}"
    out.append(_text(end + 5, y + BAR - 1, f"{label} \u00b7 {value}", size=10))
    return out


@dataclass(frozen=True)
class Row:
    result: Result
    key: str
    measure: Measure
    names: list

    def bars(self, full, y):
        """(the SVG elements, y of the next row)"""
        plain = f"unencrypted: {self.result.median(PLAIN, self.key):.{self.measure.digits}f} {self.measure.unit}"
        out = [_text(LEFT - 10, y + 9, self.measure.title, anchor="end"),
               _text(LEFT - 10, y + 22, plain, "dim", "end", 10)]
        for i, name in enumerate(self.names):
            out += _bar(self, name, full, y + i * PITCH)
        return out, y + max(2, len(self.names)) * PITCH + GAP

    def largest(self):
        return max(max(self.result.ratios(n, PLAIN, self.key)) for n in self.names)


def _rows(results):
    """Rows for the measures that have an unencrypted value."""
    for result in results:
        for key, measure in result.present().items():
            names = [n for n in result.values if n != PLAIN and result.ratios(n, PLAIN, key)]
            if names:
                yield Row(result, key, measure, names)


def _legend(names):
    out, x = [], LEFT
    for name in names:
        out.append(f'<rect x="{x}" y="58" width="10" height="10" rx="1.5" fill="{COLOURS[name]}"/>')
        out.append(_text(x + 14, 67, name))
        x += 30 + 6.2 * len(name)
    return out


def svg(title, results):
    rows = list(_rows(results))
    much, little = ([r for r in rows if r.measure.less == less] for less in (False, True))
    y, body = TOP, []
    for row in much:
        drawn, y = row.bars(FULL, y)
        body += drawn
    grid = []
    for quarter in range(5):
        x = _x(quarter / 4, FULL)
        grid.append(_line("base" if quarter in (0, 4) else "grid", x, TOP - 6, x, y - 4))
        grid.append(_text(x, y + 9, f"{quarter * 25} %", "dim", "middle", 10))
    y += 42
    if little:
        body.append(_text(16, y, "Multiples of what the unencrypted path takes: shorter is better", size=14))
        top = y = y + 18
        for row in little:
            drawn, y = row.bars(row.largest(), y)
            body += drawn
        body.append(_line("base", LEFT, top - 6, LEFT, y - 4))
    names = list(dict.fromkeys(n for row in rows for n in row.names))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
           f'height="{y}" font-family="system-ui,sans-serif" role="img">',
           f"<title>Podveil and others beside the unencrypted path</title><style>{STYLE}</style>",
           f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{y - 1}" rx="6"/>',
           _text(16, 24, "Share of what the unencrypted path carries: longer is better", size=14),
           _text(16, 42, title, "dim", size=10), *_legend(names), *grid, *body, "</svg>"]
    return "\n".join(out) + "\n"
