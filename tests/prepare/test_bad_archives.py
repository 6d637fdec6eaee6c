import csv
import json
import tarfile

import numpy as np
import pytest
import rasterio
import rasterio.warp
from archive_pack import as_v2, pack_from, spoilt
from real_patches import real_patches, write_archive

from swath.data.store import TileStore
from swath.errors import DataError

pytestmark = pytest.mark.usefixtures("without_lists")


def rewritten(pixels, **more):
    def write(data):
        with rasterio.MemoryFile(data) as held, held.open() as raster:
            profile = raster.profile | {
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "dtype": pixels.dtype,
            }
        with rasterio.MemoryFile() as held:
            with held.open(**{**profile, **more}) as target:
                target.write(pixels, 1)
            return held.read()

    return write


def told(**changes):
    return lambda data: json.dumps({**json.loads(data), **changes}).encode()


RANDOM = np.random.default_rng(0).integers(1, 5000, (120, 120)).astype(np.uint16)
JSON = "labels_metadata.json"
MOVED = rasterio.Affine(10, 0, 0, 0, -10, 0)
FLOATS = RANDOM.astype(np.float32)
CORNER = {"ulx": 1, "uly": 2, "lrx": 3, "lry": 4}
BAD = {
    "band missing": ("B03.tif", lambda _: None, "lacks B03"),
    "size": ("B03.tif", rewritten(RANDOM[:60, :60]), r"B03\.tif is 60x60 uint16; .* has 120x120 uint16"),
    "type": ("B03.tif", rewritten(FLOATS), "is 120x120 float32; BigEarthNet has 120x120 uint16"),
    "type of as many bytes": ("B03.tif", rewritten(RANDOM.astype(np.int16)), "is 120x120 int16"),
    "cut": ("B03.tif", lambda data: data[:20_000], "truncated"),
    "no raster": ("B03.tif", lambda _: b"<VRTDataset/>" * 99, "VRT"),
    "place": ("B03.tif", rewritten(RANDOM, transform=MOVED), "lie in 2 places"),
    "json missing": (JSON, lambda _: None, r"lacks its labels_metadata\.json"),
    "label": (JSON, told(labels=["Pasture"]), 'unknown label "Pasture".*Did you mean "Pastures"'),
    "no json": (JSON, lambda _: b"{", "is not the JSON of a BigEarthNet patch"),
    "corner": (JSON, told(coordinates=CORNER), "its JSON says the corner is at 1 E 2 N"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_patch_is_listed_and_stops_or_is_left_out(case, tmp_path):
    part, change, words = BAD[case]
    members, patch = spoilt(part, change)
    with pytest.raises(DataError, match=words) as caught:
        pack_from(tmp_path, members)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tiles.lance").exists()
    with (tmp_path / "tiles.bad_tiles.csv").open() as stream:
        assert [entry["id"] for entry in csv.DictReader(stream)] == [patch]
    result = pack_from(tmp_path, members, on_bad_tile="skip", max_bad=0.2)
    assert (result.tiles, result.skipped) == (5, 1)
    assert result.tiles_per_s == 0, "they were packed by the first try"
    assert patch not in TileStore(tmp_path / "tiles.lance").ids()
    assert not list(tmp_path.glob(".*"))


def test_more_bad_patches_than_allowed_stop_the_pack(tmp_path):
    members, _ = spoilt("B03.tif", lambda _: None)
    with pytest.raises(DataError, match=r"1 of 6 patches are bad \(16\.7%\).*more than --max-bad 0\.1"):
        pack_from(tmp_path, members, on_bad_tile="skip", max_bad=0.1)


def test_other_rasters_than_the_plainest_go_through_the_gate(tmp_path):
    members, patch = spoilt(
        "B03.tif", rewritten(RANDOM, compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    )
    pack_from(tmp_path, members)
    store = TileStore(tmp_path / "tiles.lance")
    rows = np.flatnonzero(store.ids() == patch)
    assert np.array_equal(store.read(rows)[0][0, 1], RANDOM)


@pytest.mark.usefixtures("small_fragments")
@pytest.mark.parametrize("kind", ["member", "patch", "link", "mixed"])
def test_an_archive_that_is_refused_leaves_nothing(kind, tmp_path):
    members = list(real_patches().items())
    link = tarfile.TarInfo("BigEarthNet/link.tif")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    more, words = {
        "member": (members[-1:], "is there twice"),
        "patch": (members[:1], "belongs to a patch that was there before"),
        "link": ([], r"BigEarthNet/link\.tif is a symbolic link"),
        "mixed": (list(as_v2(real_patches()).items())[:1], "mixes Sentinel-2 v1 .* and Sentinel-2 v2"),
    }[kind]
    archive = write_archive(tmp_path / "a.tar.gz", members + more, extra=[link] if kind == "link" else [])
    with pytest.raises(DataError, match=f"{words}.*nothing is kept") as caught:
        pack_from(tmp_path, archive)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_without_patches_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match="holds no patch of BigEarthNet"):
        pack_from(tmp_path, {"a/b.tif": b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]
