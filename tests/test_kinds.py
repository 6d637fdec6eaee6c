"""What was given where something else is wanted, and how the wanted thing is made."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from spoilt_archive import TINY

from swath.kinds import kind_of

OUT = "--out out/x"
PRETRAIN = f"{OUT} --steps 1 {TINY}"
TILES, RUN, INDEX, FEATURES = (
    "packed tiles, as made by: swath pack INDEX --out tiles.lance",
    "a run, as made by: swath pretrain TILES --out runs/first",
    "an index, as made by: swath index IMAGERY --out index.parquet",
    "features, as made by: swath embed RUN TILES --out features.parquet",
)
CASES = {
    "pretrain index.parquet": (PRETRAIN, 3, f"is an index; expected {TILES[:31]} pack index.par"),
    "pretrain run": (PRETRAIN, 3, f"is a run; expected {TILES}"),
    "pretrain tile.lance": (PRETRAIN, 3, f'does not exist. Did you mean "tiles.lance"? Expected {TILES}'),
    "report tiles.lance": ("", 2, f"is packed tiles; expected {RUN.replace('TILES', 'tiles.lance')}"),
    "embed rum": (f"tiles.lance {OUT}", 2, f'does not exist. Did you mean "run"? Expected {RUN}'),
    "embed gone/run": (f"tiles.lance {OUT}", 2, f"does not exist. Expected {RUN}"),
    "pack tiles.lance": (OUT, 3, f"is packed tiles; expected {INDEX}"),
    "split tiles": (OUT, 3, f"is not {INDEX}"),
    "predict run": (f"scene.tif {OUT}", 2, "is a run; expected a bundle, as made by: swath bundle run --out"),
    "search index.parquet": ("--like a", 3, f"is an index; expected {FEATURES}"),
    "search tiles": ("--like a", 3, f"is not {FEATURES}"),
}  # fmt: skip


@pytest.mark.parametrize("begin", CASES)
def test_what_was_given_is_named_and_how_the_wanted_thing_is_made(assert_refused, begin):
    end, code, said = CASES[begin]
    assert_refused(f"{begin} {end}", code, f"swath: {begin.split()[1]} {said}")


def test_a_run_that_was_probed_is_bundled_with_its_head(assert_refused, archive_here):
    (archive_here / "run" / "probe-linear.json").write_text("{}")
    assert_refused(
        f"predict run scene.tif {OUT}", 2, "swath bundle run --out first-bundle --head probe-linear.json"
    )


def test_kinds_are_told_by_their_marks_alone(tmp_path):
    features = pa.table({"id": ["a"], "features": [[1.0]]})
    pq.write_table(features, tmp_path / "plain.parquet")
    pq.write_table(features.replace_schema_metadata({"swath": "{}"}), tmp_path / "features.parquet")
    (tmp_path / "broken.parquet").write_text("PAR1")
    for name, config in (("other", "lr: 1\n"), ("run", "swath_run: 1\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(config)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps({}))
    found = {path.name: kind_of(path) for path in sorted(Path(tmp_path).iterdir())}
    assert found == {
        "broken.parquet": None,
        "bundle": "bundle",
        "features.parquet": "features",
        "other": None,
        "plain.parquet": None,
        "run": "run",
    }
