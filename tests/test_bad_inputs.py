"""Bad input at the command line: the right exit code, one line that says what is wrong, and nothing left.

Every case spoils a small whole archive in one way. Numbers are rows of the corpus of bad inputs.
"""

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import rasterio
from spoilt_archive import (
    TILE,
    TINY,
    bomb,
    command,
    corrupt,
    cut,
    empty_index,
    fields,
    flip_in_pack,
    link,
    noise,
    rows,
    scene,
    sparse,
    text,
    tile,
)

from swath.cli import main
from swath.data.index import read_index
from swath.runtime.run import Run

INDEX = "index tiles --out out/i.parquet"
SCENE = "index scene.tif --layout scenes --tile-px 16 --out out/i.parquet"
FIELDS = f"{SCENE} --label-column kind --labels fields.gpkg"
PACK = "pack index.parquet --out out/t.lance"
PRETRAIN = f"pretrain tiles.lance --out out/run --steps 1 {TINY}"
AGAIN = PRETRAIN.replace("out/run", "run")
PROBE = "probe run tiles.lance --out out/p.json"
LISTED = {"out/t.bad_tiles.csv"}  # bad tiles are listed beside the output, as the help says


VRT = (
    '<VRTDataset rasterXSize="16" rasterYSize="16"><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>'
)
S3_ERROR = "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
BAD_FILES = {
    "1 empty": (text(""), INDEX, "03.tif is empty (0 bytes)"),
    "2 text": (text("hello"), INDEX, "03.tif is not a GeoTIFF, JPEG 2000, PNG or JPEG (starts with 'hello')"),
    "3 S3 error": (text(S3_ERROR), INDEX, "03.tif holds an S3 error page: AccessDenied"),
    "3 web page": (text("<!DOCTYPE html>"), INDEX, "03.tif holds a web page"),
    "4 cut in half": (cut(0.5), INDEX, "03.tif is truncated: "),
    "5 cut in its header": (cut(0.02), INDEX, "03.tif is damaged or cut"),
    "8 VRT": (text(VRT), INDEX, "03.tif is a VRT (virtual raster)"),
    "12 link out": (link("/etc/passwd"), INDEX, "03.tif leaves the data root"),
    "14 sparse": (sparse, INDEX, "03.tif is 200000x200000x1 (40.0 GB): above --max-pixels"),
    "15 bomb": (bomb, INDEX, "bomb.png is 20000x20000x1 (0.4 GB): above --max-pixels"),
    "18 dead link": (link("gone.tif"), INDEX, "03.tif is a link to nothing"),
    "20 two bands": (tile(2, 16, 16), INDEX, "tiles differ in size, bands or type: 16x16x3"),
    "27 small tile": (tile(3, 8, 8), INDEX, "8x8x3 uint8 (1: 03.tif)"),
}  # fmt: skip
BAD_TILES = {  # found when the pixels are read, after the tiles were indexed
    "4 cut": (cut(0.9), "03.tif is truncated: "),
    "6 corrupt": (corrupt, "03.tif is damaged or cut: band 1 fails to decompress"),
    "8 VRT": (text(VRT), "03.tif is a VRT (virtual raster)"),
    "12 link out": (link("/etc/passwd"), "03.tif leaves the data root"),
    "18 missing": (lambda: Path(TILE).unlink(), "03.tif is missing"),
    "20 two bands": (tile(2, 16, 16), "03.tif has 2 bands; the index asks for band 3"),
    "23 constant": (tile(3, 16, 16, value=7), "03.tif is blank: every pixel of a band is the same"),
    "27 small tile": (tile(3, 8, 8), "03.tif is 8x8 px; the window at x 0, y 0 of 16x16 px lies outside"),
}  # fmt: skip
BAD_TABLES = {
    "12 index row": (rows(paths=lambda n: [["../../etc/passwd"]] * n), PACK, 3, "row 0 leaves the data root"),
    "12 labels row": (text("path,class\n/etc/a.tif,a", "tiles/labels.csv"), INDEX, 3, "leaves the data root"),
    "34 no geometry": (rows(geometry=None), PACK, 3, 'has no column "geometry"; columns: id, paths'),
    "34 no rows": (empty_index, PACK, 3, "index.parquet has 0 rows"),
    "34 label": (rows(labels=lambda n: [["bb"]] * n), PACK, 3, 'unknown label "bb" in row 0'),
    "34 list as text": (text("path,class\n03.tif,['a']", "tiles/labels.csv"), INDEX, 3, "a list written as"),
    "34 column": (fields(), f"{INDEX} --label-column clas", 2, 'Did you mean "class"'),
    "labels.csv, no file": (text("path,class\ngone.tif,b", "tiles/labels.csv"), INDEX, 3, "names 1 files"),
    "labels.csv, gone": (fields(), f"{INDEX} --labels gone.csv", 2, "no labels at gone.csv"),
    "polygons without CRS": (fields(crs=None), FIELDS, 3, "fields.gpkg has no CRS"),
    "polygons, unknown column": (fields(), FIELDS.replace("kind", "kinds"), 2, 'Did you mean "kind"'),
}  # fmt: skip
NO_PLACE = {"crs": None, "transform": rasterio.Affine.identity()}
OTHERS = {
    "7 flipped byte in the pack": (flip_in_pack, PROBE, 3, "do not match their checksum"),
    "18 no source": (None, "index gone --out out/i.parquet", 2, "no folder or file gone"),
    "18 no index": (None, "pack gone.parquet --out out/t.lance", 3, "gone.parquet does not exist"),
    "18 no tiles": (None, PRETRAIN.replace("tiles.lance", "gone.lance"), 3, "gone.lance does not exist"),
    "18 no run": (None, PROBE.replace("run", "gone"), 2, "gone does not exist"),
    "20 bands to pack": (None, f"{PACK} --bands red,gren", 2, 'Did you mean "green"'),
    "20 bands of the run": (None, PROBE.replace("tiles.l", "two.l"), 3, "has bands red,green; the run was"),
    "23 all nodata": (scene(np.zeros((3, 64, 64), np.uint8), nodata=0), SCENE, 3, "16 have more than 0%"),
    "25 polygons": (scene(noise(3, 64, 64), **NO_PLACE), FIELDS, 3, "scene.tif has no location, so polygons"),
    "27 small scene": (None, SCENE.replace("16", "128"), 3, "64x64 px, smaller than a tile of 128 px"),
    "27 large view": (None, f"{PRETRAIN} --global-px 32", 2, "16 px, smaller than a global view of 32 px"),
    "29 none": (None, "index out --out out/i.parquet", 3, "out holds no GeoTIFF"),
    "29 too few": (None, f"{PRETRAIN} --batch-size=64", 2, "found 8 tiles to train on, a batch needs 64"),
    "45 key": (text("lr: 1\nepoch: 3", "lr.yaml"), PRETRAIN, 2, 'lr.yaml:2: unknown setting "epoch". Did'),
    "45 flag": (None, f"{PRETRAIN} --lrr 1", 2, 'unknown flag --lrr. Did you mean "--lr"'),
    "47 in a file": (text("\nlr: -1", "lr.yaml"), PRETRAIN, 2, "lr.yaml:2: --lr -1: input should be greater"),
    "another model": (None, AGAIN.replace("micro", "tiny"), 2, "model: vit_micro -> vit_tiny; repeat"),
    "other bands": (None, AGAIN.replace("tiles.l", "two.l"), 2, "bands: red,green,blue -> red,green, pack: "),
    "another run": (None, f"{AGAIN} --seed 1", 2, "run was started with other settings: seed: 0 -> 1;"),
}  # fmt: skip
HOSTILE = {  # row 46
    "tag": ("lr: !!python/object/apply:os.system ['touch out/marker']", ":1: the tag tag:yaml.org,2002:py"),
    "aliases": ("a: &a [1]\n" + "".join(f"b{i}: [*a, *a]\n" for i in range(99)), ":1: anchors and aliases"),
    "nesting": ("lr: " + "[" * 5000, ":1: nested more than 20 deep"),
    "tab": ("lr: 1\n\tseed: 2", ":2: a tab indents this line"),
    "twice": ("lr: 1\nlr: 2", ':2: "lr" is set on line 1 already'),
    "empty": ("", " is empty; expected lines"),
    "list": ("- lr", " has a list at the top"),
    "byte order mark": ("\ufefflr: 1", ":1: starts with a byte order mark"),
    "50 MB": ("#" * 50_000_000, " has 50,000,000 bytes; settings are at most 1,000,000"),
}  # fmt: skip
OUTS = {  # row 48
    "index in a folder": (INDEX, "tiles", 2, "tiles is a folder; --out is the file to write"),
    "index over a file": (INDEX, "out/kept.txt", 2, "out/kept.txt holds something else already"),
    "index below a file": (INDEX, "out/kept.txt/x", 2, "out/kept.txt is a file, not a folder"),
    "index at the root": (INDEX, "/", 2, "/ is a folder; --out is the file to write"),
    "pack in a folder": (PACK, "tiles", 2, "tiles exists already; nothing was written"),
    "pack over a file": (PACK, "out/kept.txt", 2, "out/kept.txt exists already; nothing was written"),
    "pack below a file": (PACK, "out/kept.txt/x", 2, "out/kept.txt is a file, not a folder"),
    "pack at the root": (PACK, "/", 2, "/ exists already; nothing was written"),
    "pretrain in a folder": (PRETRAIN, "tiles", 2, "tiles is not a run and not empty"),
    "pretrain over a file": (PRETRAIN, "out/kept.txt", 2, "out/kept.txt is a file, not a folder"),
    "pretrain below a file": (PRETRAIN, "out/kept.txt/x", 2, "out/kept.txt/x is a file, not a folder"),
    "pretrain at the root": (PRETRAIN, "/", 2, "/ is not a run and not empty"),
    "probe in a folder": (PROBE, "tiles", 2, "tiles is a folder; expected the name of a file"),
    "probe over a file": (PROBE, "out/kept.txt", 2, "out/kept.txt holds something else already"),
    "probe below a file": (PROBE, "out/kept.txt/x", 2, "out/kept.txt is a file, not a folder"),
    "probe at the root": (PROBE, "/", 2, "/ is a folder; expected the name of a file"),
}  # fmt: skip


def named(cases):
    return {"argvalues": cases.values(), "ids": cases.keys()}


@pytest.mark.parametrize(("spoil", "words", "said"), **named(BAD_FILES))
def test_a_bad_file_stops_an_index(assert_refused, spoil, words, said):
    spoil()
    assert_refused(words, 3, said)


@pytest.mark.parametrize(("spoil", "said"), **named(BAD_TILES))
def test_a_bad_tile_stops_a_pack_and_is_listed(assert_refused, spoil, said):
    spoil()
    assert_refused(PACK, 3, said, left=LISTED)
    assert said.removeprefix("03.tif") in Path(*LISTED).read_text()


@pytest.mark.parametrize(("spoil", "words", "code", "said"), **named(BAD_TABLES | OTHERS))
def test_what_does_not_fit_stops_a_stage(assert_refused, spoil, words, code, said):
    if spoil:
        spoil()
    assert_refused(words, code, said)


@pytest.mark.parametrize(("written", "said"), **named(HOSTILE))
def test_a_hostile_settings_file_is_refused(assert_refused, written, said):
    text(written, "lr.yaml")()
    assert_refused(PRETRAIN, 2, f"swath: lr.yaml{said}")


@pytest.mark.parametrize(("words", "out", "code", "said"), **named(OUTS))
def test_nothing_is_written_over_what_belongs_to_somebody(assert_refused, words, out, code, said):
    before, after = words.split("out/", 1)
    assert_refused(f"{before}{out} {after.partition(' ')[2]}", code, said)


@pytest.mark.parametrize("words", [INDEX, PACK, PRETRAIN, PROBE], ids=lambda words: words.split()[0])
def test_a_read_only_place_is_named(assert_refused, monkeypatch, words):
    def refuse(path, *_):
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    assert_refused(words.replace("out/", "closed/"), 5, "not writable (Read-only file system)")


@pytest.mark.parametrize("words", [INDEX, PACK, PRETRAIN, PROBE], ids=lambda words: words.split()[0])
def test_a_full_disk_leaves_nothing_half_written(assert_refused, words):
    """The limit on the size of files stands in for the disk: the same error from the same calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        assert_refused(words, 5, "no space left for ")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_all_values_out_of_range_are_told_at_once_a_line_each(assert_refused):
    start = "pretrain tiles.lance --out out/run"
    wrong = ("--epochs 0", "--batch-size 0", "--lr -1", "--out-dim 1", "--warmup-share 2", "--precision half")
    assert_refused(" ".join((start, *wrong)), 2, *wrong)
    assert_refused(
        f"{start} --local-px 20 --patch-size 8", 2, "--local-px 20 is not a multiple of --patch-size 8"
    )


@pytest.mark.usefixtures("archive_here")
def test_a_flipped_bit_in_plain_pixels_is_taken_as_it_is():
    held = bytearray(Path(TILE).read_bytes())
    held[-1] ^= 1
    Path(TILE).write_bytes(held)
    assert (command(INDEX), command(PACK)) == (0, 0)


def test_tiles_without_a_place_are_trained_on_and_split_at_random(assert_refused):
    scene(noise(3, 64, 64), **NO_PLACE)()
    assert command(SCENE) == 0
    assert_refused(
        "split out/i.parquet --out out/s.parquet", 2, "16 of 16 tiles of out/i.parquet have no location"
    )
    assert command("split out/i.parquet --out out/s.parquet --by random") == 0
    assert command("pack out/s.parquet --out out/t.lance") == 0
    assert command(PRETRAIN.replace("tiles.l", "out/t.l")) == 0


@pytest.mark.usefixtures("archive_here")
def test_tiles_without_a_row_in_labels_csv_are_kept_and_counted(capfd):
    text("path,class\n03.tif,a\n04.tif,b", "tiles/labels.csv")()
    assert main(INDEX.split()) == 0
    assert "10 of 12 tiles have no row in labels.csv: kept, unlabelled\n" in capfd.readouterr().err
    assert read_index(Path("out/i.parquet")).table["labels"].null_count == 10


@pytest.mark.usefixtures("archive_here")
def test_polygons_in_another_system_label_the_same_tiles():
    labels = []
    for crs in ("EPSG:32633", "EPSG:3857"):
        fields(crs=crs)()
        assert command(FIELDS) == 0
        labels.append(read_index(Path("out/i.parquet")).table["labels"].to_pylist())
    assert labels[0] == labels[1] == [["farm"], ["farm"], [], []] * 4


@pytest.mark.usefixtures("archive_here")
def test_a_number_with_an_exponent_is_a_number():
    assert Run.open(Path("run")).asked["lr"] == 0.001
