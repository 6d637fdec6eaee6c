"""Bad weights, features and labels of a proof at the command line, as in test_bad_inputs.py."""

import html
import os
import pickle
import struct
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from spoilt_archive import command, noise, rows, text, write_tif

from swath.models.weights import load_weights, save_weights

IMPORT, LADDER = "import weights.pth --out out/run", "ladder tiles.lance --weights weights.pth --out out/l"
RENAMED = IMPORT.replace(".pth", ".safetensors")
MASKS = "index town --layout scenes --masks masks --mask-classes classes.csv --tile-px 16 --out out/i.parquet"
PROBE = "probe run tiles.lance --out out/p.json"
PACK = "pack index.parquet --out out/t.lance"


class Shell:
    """Unpickling it makes a file, which every case would notice."""

    def __reduce__(self):
        return (os.system, ("touch out/marker",))


def code():
    torch.save({"w": torch.ones(2), "x": Shell()}, "weights.pth")


def distributed():
    Path("weights.pth").mkdir()
    Path("weights.pth/.metadata").write_bytes(pickle.dumps(Shell()))


def cut_in_half():
    torch.save({"w": torch.ones(500)}, "weights.pth")
    held = Path("weights.pth").read_bytes()
    Path("weights.pth").write_bytes(held[: len(held) // 2])


def binary(content, path="weights.pth"):
    return lambda: Path(path).write_bytes(content)


def of_run(change=lambda tensors: tensors, *, contract=False):
    """The teacher of the run as timm names it, changed; with what it sees, or as a stranger's."""

    def spoil():
        assert command("export run --out weights.safetensors") == 0
        if not contract:
            save_weights(Path("weights.pth"), change(load_weights(Path("weights.safetensors"))))
            Path("weights.safetensors").unlink()

    return spoil


def with_nan(tensors):
    tensors["norm.weight"][:12] = float("nan")
    return tensors


def one_band_less(tensors):
    return tensors | {"patch_embed.proj.weight": tensors["patch_embed.proj.weight"][:, :2].contiguous()}


def nan_features():
    assert command("embed run tiles.lance --out run/features.parquet") == 0
    table = pq.read_table("run/features.parquet")
    place = table.schema.get_field_index("features")
    values = np.stack(table["features"].to_numpy())
    values[2, 0] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    pq.write_table(table.set_column(place, table.schema.field(place), column), "run/features.parquet")


def relabelled(change):
    """The tiles packed again with other lines of labels.csv."""

    def spoil():
        head, *rows = Path("tiles/labels.csv").read_text().splitlines()
        Path("tiles/labels.csv").write_text("\n".join([head, *map(change, rows)]))
        assert command("index tiles --out again.parquet") == 0
        assert command("pack again.parquet --out again.lance") == 0

    return spoil


def features_of_another_run():
    of_run(contract=True)()
    assert command("import weights.safetensors --out other") == 0
    assert command("embed other tiles.lance --out features.parquet") == 0


def masks(spoil):
    """Two pictures of 32 x 16 px with masks of colours, one of them spoilt."""

    def write():
        for kind in ("images", "masks"):
            Path("town", kind).mkdir(parents=True)
        for name in "ab":
            write_tif(f"town/images/{name}.tif", noise(3, 16, 32))
            write_tif(f"town/masks/{name}.tif", np.zeros((3, 16, 32), np.uint8))
        Path("classes.csv").write_text("class,value\nwater,#000000\nland,#FFFFFF\n")
        spoil()

    return write


def spoilt_mask(height, width, colour):
    return lambda: write_tif("town/masks/b.tif", np.full((3, height, width), colour, np.uint8))


def unknown_colour():
    masks(spoilt_mask(16, 32, 7))()
    assert command(MASKS.replace("out/i", "town")) == 0


def one_tile_twice():
    lance.dataset("tiles.lance").update({"id": "'00.tif'"}, where="id = '08.tif'")


def to_train(row):
    return row.replace("08.tif,a,test", "08.tif,a,train")


WEIGHTS = {
    "37 code": (code, IMPORT, 3, "weights.pth contains code (posix.system). Refused"),
    "37 code, on a ladder": (code, LADDER, 3, "weights.pth contains code (posix.system). Refused"),
    "38 distributed": (distributed, IMPORT, 3, "is a folder of torch.distributed.checkpoint"),
    "40 cut": (cut_in_half, IMPORT, 3, "weights.pth is incomplete (PytorchStreamReader failed"),
    "40 empty": (binary(b""), IMPORT, 3, "weights.pth is empty (0 bytes); copy it again"),
    "40 web page": (text("<!DOCTYPE html>", "weights.pth"), IMPORT, 3, "weights.pth is a web page"),
    "41 header": (binary(struct.pack("<Q", 2**40) + b"{}"), IMPORT, 3, "is not a whole safetensors file"),
    "41 pickle renamed": (
        binary(pickle.dumps(Shell()), "weights.safetensors"), RENAMED, 3, "contains code (posix.system)"
    ),
    "42 NaN": (of_run(with_nan), IMPORT, 3, "holds 12 values that are not finite in norm.weight; refused"),
    "42 NaN, on a ladder": (of_run(with_nan), LADDER, 3, "holds 12 values that are not finite"),
    "43 channels": (of_run(one_band_less), f"{IMPORT} --tiles tiles.lance", 2, "the weights see 2 bands"),
    "43 bands named": (of_run(), f"{IMPORT} --bands red,green", 2, "red,green are 2; name them"),
    "features of another run": (
        features_of_another_run, "embed run tiles.lance --out features.parquet", 2, "features of another run"
    ),
    "bands of the file": (
        of_run(contract=True), f"{RENAMED} --bands a,b,c", 2, "says itself that it sees red,green,blue"
    ),
    "bands of the tiles": (
        of_run(contract=True), f"{RENAMED} --tiles two.lance", 3, "the pack has bands red,green; the run was"
    ),
    "tiles of no colours": (of_run(), LADDER.replace("tiles", "two"), 3, "weights of photographs need red"),
}  # fmt: skip
PROOFS = {
    "NaN features": (nan_features, PROBE, "run/features.parquet: 1 of 12 rows hold NaN or infinity"),
    "NaN features, knn": (nan_features, f"{PROBE} --task knn", "run/features.parquet: 1 of 12 rows hold NaN"),
    "one class": (
        relabelled(lambda row: row.replace(",b,", ",a,")), PROBE.replace("tiles", "again"),
        "all 8 tiles have the same labels, at least two classes are needed",
    ),
    "another split": (relabelled(to_train), PROBE.replace("tiles", "again"), "may have seen test tiles"),
    "another split, ladder": (
        relabelled(to_train), "ladder again.lance --runs run --out out/l", "may have seen test tiles"
    ),
    "another split, finetune": (
        relabelled(to_train), "finetune run again.lance --out out/f", "may have seen test tiles"
    ),
    "twice": (rows(id=lambda n: ["08.tif", *(f"{i:02}.tif" for i in range(1, n))]), PACK, "have the same id"),
    "mask of another size": (
        masks(spoilt_mask(8, 8, 0)), MASKS, "b.tif is 8x8 px, its image images/b.tif is 32x16 px"
    ),
    "unknown colour": (
        unknown_colour, "pack town.parquet --out out/t.lance", "colour #070707, which is no class"
    ),
    "35 in train and test": (
        one_tile_twice, PROBE, 'tiles.lance: 1 tiles are in both train and test, such as "00.tif"'
    ),
    "a share of two labels": (
        None, f"{PROBE} --label-fraction 0.25", "2 labelled tiles are too few or too much alike to choose"
    ),
    "no positive": (None, f"{PROBE} --min-positives 9", "no class has 9 positive tiles among 4 test tiles"),
}  # fmt: skip

LEFT = {
    nan_features: {"run/features-untrained.parquet"},  # computed before those of the run are read, and kept
    unknown_colour: {"out/t.bad_tiles.csv"},
}


def named(cases):
    return {"argvalues": cases.values(), "ids": cases.keys()}


@pytest.mark.parametrize(("spoil", "words", "code", "said"), **named(WEIGHTS))
def test_bad_weights_are_refused_and_nothing_in_them_runs(assert_refused, spoil, words, code, said):
    spoil()
    assert_refused(words, code, said)


@pytest.mark.parametrize(("spoil", "words", "said"), **named(PROOFS))
def test_what_would_make_a_wrong_score_is_refused(assert_refused, spoil, words, said):
    if spoil:
        spoil()
    assert_refused(words, 3, said, left=LEFT.get(spoil, set()))


@pytest.mark.usefixtures("archive_here")
def test_a_share_of_the_labels_that_leaves_a_class_without_a_positive_says_so(capfd):
    assert command(f"{PROBE} --task knn --k 1 --label-fraction 0.125 --fraction-seeds 1") == 0
    said = capfd.readouterr().err.splitlines()
    assert said == ["12 % of the labels, draw 0: 1 tiles hold no positive of b; scored as chance"]


@pytest.mark.usefixtures("archive_here")
def test_36_names_that_could_run_are_text_and_a_head_for_other_classes_is_left_out(capfd):
    harm = {"a": "=cmd|' /C calc'!A0", "b": "<script>alert(1)</script>"}
    relabelled(lambda row: ",".join(harm.get(cell, cell) for cell in row.split(",")))()
    assert command("probe run tiles.lance") == 0
    capfd.readouterr()
    assert command("report run --tiles again.lance --out out/report.html") == 0
    named = f"tells 2 classes apart (a, b, ...); the tiles have 2 ({harm['b']}, {harm['a']}, ...)"
    assert named in capfd.readouterr().err
    assert command("describe again.lance --out out/described.html") == 0
    for page in ("out/report.html", "out/described.html"):
        shown = Path(page).read_text()
        assert "<script" not in shown
        assert all(html.escape(name) in shown for name in harm.values())
