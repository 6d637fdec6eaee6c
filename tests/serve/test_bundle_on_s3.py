"""Bundles in s3:// are made, loaded, verified and predicted with as those here; so are runs verified."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from bundle_folder import tiles_of
from s3_server import flip, put_folder
from striped_scene import bands_of, write_stack

import swath
from swath import storage
from swath.errors import DataError, UsageError


def test_a_bundle_put_to_s3_is_the_one_made_here(probed, bundled, place, tmp_path):
    store, made = probed
    put = swath.bundle(made.path, out=place("bundle"), head="probe-linear.json")
    here, there = swath.load(bundled[1]), swath.load(place("bundle"))
    assert (there.digest, put.digest) == (here.digest, here.digest)
    assert put.bytes == sum(path.stat().st_size for path in bundled[1].iterdir())
    tiles = tiles_of(store, range(5))
    assert np.array_equal(here.predict(tiles).probabilities, there.predict(tiles).probabilities)
    write_stack(tmp_path / "scene.tif", bands_of(40, 40))
    for bundle, out in ((bundled[1], "here"), (place("bundle"), "there")):
        swath.predict(bundle, tmp_path / "scene.tif", out=tmp_path / out)
    tables = [pq.read_table(tmp_path / out / "scene" / "tiles.parquet") for out in ("here", "there")]
    assert tables[0].equals(tables[1])
    with pytest.raises(UsageError, match="exists already; nothing was written"):
        swath.bundle(made.path, out=place("bundle"))


def test_verify_reads_every_byte_of_a_bundle_there_and_calls_it_by_its_place(bundled, place):
    there = put_folder(bundled[1], place("bundle"))
    assert swath.verify(there).digest == swath.verify(bundled[1]).digest
    with storage.object_aside(there / "notes.txt") as aside:
        aside.write_text("mine")
    with pytest.raises(DataError, match=rf"^{there} holds what was not bundled: notes.txt"):
        swath.verify(there)
    flip(there / "backbone.safetensors")
    with pytest.raises(
        DataError, match=rf"^{there} is not as it was bundled .*\nbackbone.safetensors sha256"
    ):
        swath.verify(there)
    for read in (swath.load, swath.verify):
        with pytest.raises(UsageError, match=rf"^{place('none')} (does not exist|is neither a bundle)"):
            read(place("none"))


def test_verify_reads_every_checkpoint_of_a_run_there(make_run, place):
    make_run(step=10)
    made = make_run(step=20)
    there = put_folder(made.path, place("run"))
    found = swath.verify(there)
    assert (found.digest, found.checked[0]) == (swath.verify(made.path).digest, "sha256 of 2 checkpoints")
    flip(there / "checkpoints/step-00000010/teacher.safetensors")
    with pytest.raises(DataError, match=rf"^{there}: 1 of 2 checkpoints are damaged:"):
        swath.verify(there)
