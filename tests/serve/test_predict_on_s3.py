"""Scenes on S3 are predicted as those here, and what is done is not fetched again."""

import pyarrow.parquet as pq
from s3_server import put_folder
from striped_scene import bands_of, write_bands, write_stack

import swath


def test_a_prefix_is_predicted_as_the_same_folder_here(bundled, tmp_path, s3):
    here = tmp_path / "imagery"
    write_bands(here / "bands", bands_of(64, 48))
    (here / "stacks").mkdir()
    write_stack(here / "stacks" / "stack.tif", bands_of(40, 40, seed=3))
    (here / "stacks" / "broken.tif").write_bytes(b"II*\0" + b"x" * 40)
    there = put_folder(here, s3("scenes"))
    result = swath.predict(bundled[1], there, out=tmp_path / "out")
    assert (list(result.scenes), list(result.bad), result.exit_code) == (["scene", "stack"], ["broken"], 3)
    assert f"{there}/stacks/broken.tif" in result.bad["broken"]
    swath.predict(bundled[1], here, out=tmp_path / "expected")
    for name in ("scene", "stack"):
        tables = [pq.read_table(tmp_path / out / name / "tiles.parquet") for out in ("out", "expected")]
        assert tables[0].equals(tables[1])
    before = (tmp_path / "out" / "scene" / "tiles.parquet").stat().st_mtime_ns
    again = swath.predict(bundled[1], there, out=tmp_path / "out")
    assert (again.skipped, list(again.scenes), list(again.bad)) == (("scene", "stack"), [], ["broken"])
    assert (tmp_path / "out" / "scene" / "tiles.parquet").stat().st_mtime_ns == before
