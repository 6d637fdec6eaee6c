"""Draw docs/pictures/flow.svg, the picture of the flow in the README: python tools/draw_flow.py."""

from pathlib import Path

STAGES = (
    ("archive", "scenes, tiles", ""),
    ("index.parquet", "one row a tile", "index, split"),
    ("tiles.lance", "pixels, checksums", "pack"),
    ("runs/NAME", "a trained ViT", "pretrain"),
    ("features", "one vector a tile", "embed"),
    ("probe.json", "scores, intervals", "probe"),
    ("report.html", "one offline page", "report"),
)
BOX, GAP, HEIGHT = 128, 54, 60
SIZE = f'width="{len(STAGES) * BOX + (len(STAGES) - 1) * GAP + 4}" height="{HEIGHT + 8}"'
LOOK = 'role="img" aria-label="the flow" font-family="system-ui, sans-serif" text-anchor="middle"'
INK, LINE, FILL, VERB = "#1f2a30", "#5b7a70", "#eef4f1", "#0f6b4f"


def main() -> None:
    width = len(STAGES) * BOX + (len(STAGES) - 1) * GAP + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 8}" {SIZE} {LOOK}>',
        f'<rect width="{width}" height="{HEIGHT + 8}" fill="#ffffff" rx="8"/>',
    ]
    for number, (name, about, verb) in enumerate(STAGES):
        x = 2 + number * (BOX + GAP)
        middle = x + BOX / 2
        parts.append(
            f'<rect x="{x}" y="4" width="{BOX}" height="{HEIGHT}" rx="7" fill="{FILL}" stroke="{LINE}"/>'
        )
        parts.append(f'<text x="{middle}" y="30" font-size="14" font-weight="600" fill="{INK}">{name}</text>')
        parts.append(f'<text x="{middle}" y="49" font-size="11" fill="{INK}">{about}</text>')
        if verb:
            start, end = x - GAP + 4, x - 4
            parts.append(
                f'<path d="M{start} 38H{end}m-6 -4l6 4l-6 4" fill="none" stroke="{VERB}" stroke-width="1.6"/>'
            )
            lines = verb.split(", ")
            for row, word in enumerate(reversed(lines)):
                y = 31 - 12 * row
                parts.append(f'<text x="{x - GAP / 2}" y="{y}" font-size="11" fill="{VERB}">{word}</text>')
    target = Path(__file__).parents[1] / "docs" / "pictures" / "flow.svg"
    target.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
