# SPDX-License-Identifier: Apache-2.0
"""The result as a chart: each measure of each contender as a share of the unencrypted path.

Longer is better everywhere: where less is better (latency, CPU) the share is unencrypted / own. The bar is the
median of the rounds, the whisker their spread, the figure behind it the measured value. The chart brings its
own background, dark where the reader prefers that, so that it is readable on any page.
"""
import statistics
from html import escape

from contenders import CONTENDERS, PLAIN

# One for each contender, whichever of them are there; seen well on white and on dark grey.
COLOURS = dict(zip(CONTENDERS, ["#8a9099", "#b9770e", "#a0522d", "#1a7f5a", "#2f6fde", "#8e5bd0"]))

WIDTH, LEFT, RIGHT, TOP = 900, 236, 128, 86
BAR, PITCH, GAP = 10, 13, 12
FULL = 1.1  # what the scale ends at

STYLE = """
.card{fill:#fff;stroke:#d0d7de}.text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d8dee4}.base{stroke:#8a9099}
.whisker{stroke:#1f2328}
@media(prefers-color-scheme:dark){.card{fill:#151b23;stroke:#3d444d}.text{fill:#f0f6fc}.dim{fill:#9198a1}
.grid{stroke:#2f353d}.base{stroke:#9198a1}.whisker{stroke:#f0f6fc}}"""


def _text(x, y, content, kind="text", anchor="start", size=11):
    return (f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
            f'{escape(content)}</text>')


def _x(share):
    return LEFT + max(0.0, min(share, FULL)) / FULL * (WIDTH - LEFT - RIGHT)


def _line(kind, x1, y1, x2, y2, width=1):
    return (f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke-width="{width}"/>')


def _shares(result, name, key, less):
    ratios = result.ratios(name, PLAIN, key)
    return [1 / r for r in ratios if r] if less else ratios


def _bar(result, name, key, measure, y):
    shares = _shares(result, name, key, measure.less)
    middle = statistics.median(shares)
    end = _x(middle)
    out = [f'<rect x="{LEFT}" y="{y}" width="{max(1.0, end - LEFT):.1f}" height="{BAR}" rx="1.5" '
           f'fill="{COLOURS[name]}"><title>{escape(name)}, {escape(str(measure))}</title></rect>']
    if len(shares) > 1:
        out.append(_line("whisker", _x(min(shares)), y + BAR / 2, _x(max(shares)), y + BAR / 2))
        end = max(end, _x(max(shares)))
    label = f"{middle * 100:.0f} %" if middle >= 0.095 else f"{middle * 100:.1f} %"
    value = f"{result.median(name, key):.{measure.digits}f} {measure.unit}"
    out.append(_text(end + 5, y + BAR - 1, f"{label}   {value}", size=10))
    return out


def _rows(results):
    """(result, key, measure, names) of what there is an unencrypted value for."""
    for result in results:
        for key, measure in result.present().items():
            names = [n for n in result.values if n != PLAIN and _shares(result, n, key, measure.less)]
            if names:
                yield result, key, measure, names


def _legend(names):
    out, x = [], LEFT
    for name in names:
        out.append(f'<rect x="{x}" y="58" width="10" height="10" rx="1.5" fill="{COLOURS[name]}"/>')
        out.append(_text(x + 14, 67, name))
        x += 30 + 6.2 * len(name)
    return out


def svg(title, results):
    rows, y, body = list(_rows(results)), TOP, []
    for result, key, measure, names in rows:
        body.append(_text(LEFT - 10, y + 9, measure.title, anchor="end"))
        plain = f"unencrypted: {result.median(PLAIN, key):.{measure.digits}f} {measure.unit}"
        body.append(_text(LEFT - 10, y + 22, plain, "dim", "end", 10))
        top = y
        for name in names:
            body += _bar(result, name, key, measure, y)
            y += PITCH
        y = max(y, top + 2 * PITCH) + GAP
    height = y + 26
    names = list(dict.fromkeys(n for row in rows for n in row[3]))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
           f'height="{height}" font-family="system-ui,sans-serif" role="img">',
           f"<title>Podveil and others as a share of the unencrypted path</title><style>{STYLE}</style>",
           f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
           _text(16, 24, "Share of what the unencrypted path does: longer is better", size=14),
           _text(16, 42, title, "dim", size=10), *_legend(names)]
    for quarter in range(5):
        x = _x(quarter / 4)
        out.append(_line("base" if quarter in (0, 4) else "grid", x, TOP - 8, x, y - 4))
        out.append(_text(x, y + 10, f"{quarter * 25} %", "dim", "middle", 10))
    return "\n".join(out + body + ["</svg>"]) + "\n"
