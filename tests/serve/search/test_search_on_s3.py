"""Features, their run, the picture to look for and what is written: in s3:// as here."""

import pytest
from s3_server import put_folder
from test_search_picture import picture

import swath
from swath import storage
from swath.errors import DataError, UsageError
from swath.serve.search import archive as module


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_is_looked_for_there_as_here(make_pack, make_run, tmp_path, place):
    store, made = make_pack(count=40), make_run()
    run = put_folder(made.path, place("run"))
    swath.embed(made.path, store.path, out=tmp_path / "features.parquet")
    swath.embed(run, store.path, out=place("features.parquet"))
    here = swath.search(
        tmp_path / "features.parquet", like=str(picture(store, 11, tmp_path / "asked.tif")), k=5
    )
    with storage.object_aside(place("asked.tif")) as aside:
        aside.write_bytes((tmp_path / "asked.tif").read_bytes())
    outs = [place("found.png"), place("found.parquet")]
    for like in (tmp_path / "asked.tif", place("asked.tif")):
        there = swath.search(place("features.parquet"), like=str(like), k=5, out=outs)
        assert (there.found, there.like) == (here.found, str(like))
    assert [storage.read_bytes(out)[:4] for out in outs] == [b"\x89PNG", b"PAR1"]
    make_run(seed=9, step=20)
    put_folder(made.path, run)
    with pytest.raises(DataError, match=rf"^{run} has checkpoint .* a picture cannot be compared"):
        swath.search(place("features.parquet"), like=str(place("asked.tif")))
    storage.remove(run)
    with pytest.raises(UsageError, match=rf"is no longer at {run}; say where: --run RUN"):
        swath.search(place("features.parquet"), like=str(place("asked.tif")))
    with pytest.raises(DataError, match=rf"^{place('none.parquet')} does not exist"):
        swath.search(place("none.parquet"), like="t0011")


def test_of_a_million_tiles_there_every_one_is_compared(make_features, place, monkeypatch):
    monkeypatch.setattr(module, "APPROXIMATE_FROM", 50)
    features = make_features(count=60)
    with storage.object_aside(place("features.parquet")) as aside:
        aside.write_bytes(features.read_bytes())
    assert swath.search(features, like="t0003", k=5).method == "approximate"
    assert swath.search(place("features.parquet"), like="t0003", k=5).method == "exact"
    with pytest.raises(UsageError, match="and on S3 every one is compared; leave it out"):
        swath.search(place("features.parquet"), like="t0003", exact=True)
