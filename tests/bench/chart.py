# SPDX-License-Identifier: Apache-2.0
"""The result as a chart: for each measure, each contender as a share of the unencrypted path."""
from xml.sax.saxutils import escape

COLOURS = ["#9aa0a6", "#c58af9", "#f6ae2d", "#1a73e8", "#34a853", "#d93025", "#12b5cb"]
LEFT, RIGHT, BAR, GAP, TOP = 200, 90, 13, 14, 60


def svg(title, median, better):
    """`median`: contender -> measure -> value; `better`: measure -> "more" or "less"."""
    base = median["unencrypted"]
    names = [n for n in median if n != "unencrypted"]
    measures = [m for m in base if better.get(m) == "more" and base[m]]
    width, scale = 900, 900 - LEFT - RIGHT
    height = TOP + len(measures) * (len(names) * BAR + GAP) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="13">{escape(title)}</text>']
    x = 10
    for i, name in enumerate(names):
        out.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[i % 7]}"/>'
                   f'<text x="{x + 14}" y="39">{escape(name)}</text>')
        x += 30 + 7 * len(name)
    for quarter in range(5):
        x = LEFT + scale * quarter / 4
        out.append(f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{height - 24}" stroke="#ddd"/>'
                   f'<text x="{x}" y="{height - 10}" text-anchor="middle">{quarter * 25} %</text>')
    y = TOP
    for measure in measures:
        middle = y + len(names) * BAR / 2 + 4
        out.append(f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(measure)}</text>')
        for i, name in enumerate(names):
            share = median[name][measure] / base[measure]
            out.append(f'<rect x="{LEFT}" y="{y}" width="{min(share, 1.08) * scale:.1f}" '
                       f'height="{BAR - 2}" fill="{COLOURS[i % 7]}"/>'
                       f'<text x="{LEFT + min(share, 1.08) * scale + 4:.1f}" y="{y + BAR - 3}">'
                       f'{median[name][measure]:.3g} ({share:.2f})</text>')
            y += BAR
        y += GAP
    out.append("</svg>")
    return "\n".join(out)
