"""The ladders of docs/results/proof.md, from run folders that exist: two archives, and each run on the other.

    python benchmarks/ladder_record.py --eurosat TILES RUN --ucmerced TILES RUN --out FOLDER

TILES are packed, with a split; RUN was pretrained on them. Four ladders at 1, 10 and 100 % of the labels with
three draws: each archive with its own run, and each archive with the other's run (--other-data: pixels are
standardised by the tiles at hand, and the ground resolution may differ). A rerun takes the features that are
there. Prints the tables and writes FOLDER/record.txt.
"""

import argparse
import sys
import time
from pathlib import Path

import swath

FRACTIONS, DRAWS = (0.01, 0.1, 1.0), 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("eurosat", "ucmerced"):
        arguments.add_argument(f"--{name}", nargs=2, type=Path, required=True, metavar=("TILES", "RUN"))
    arguments.add_argument("--out", type=Path, required=True)
    asked = arguments.parse_args()
    (eurosat, eurosat_run), (ucmerced, ucmerced_run) = asked.eurosat, asked.ucmerced
    lines: list[str] = []
    for title, tiles, run, other in (
        ("eurosat", eurosat, eurosat_run, False),
        ("ucmerced", ucmerced, ucmerced_run, False),
        ("eurosat-by-ucmerced", eurosat, ucmerced_run, True),
        ("ucmerced-by-eurosat", ucmerced, eurosat_run, True),
    ):
        started = time.perf_counter()
        found = swath.ladder(
            tiles, runs=[run], out=asked.out / title, label_fraction=FRACTIONS, fraction_seeds=DRAWS,
            other_data=other,
        )  # fmt: skip
        lines += [f"== {title} ({time.perf_counter() - started:.0f} s)", *found.lines(), ""]
        print("\n".join(lines[-len(found.lines()) - 2 :]), flush=True)
    (asked.out / "record.txt").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
