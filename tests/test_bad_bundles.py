"""Bad weights in a bundle, a head or a run, and features that are none, at the command line: rows 36 to 43.

As in test_bad_weights.py; hashes are those of the spoilt files, so that nothing but their content tells.
"""

import os
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from bundle_folder import rewrite
from spoilt_archive import command
from test_bad_weights import Shell, named, nan_features

PREDICT, VERIFY = "predict b scene.tif --out out/p", "verify b"
SEARCH = "search features.parquet --like 00.tif --out out/found.geojson"
BUNDLE = "bundle run --out out/b"
WEIGHTS = "backbone.safetensors"


def bundle(spoil):
    def write():
        assert command("bundle run --out b") == 0
        spoil()

    return write


def of_bytes(content, name=WEIGHTS):
    return bundle(lambda: rewrite(Path("b"), name, content))


def of_tensors(change):
    def spoil():
        tensors = safetensors.torch.load(Path("b", WEIGHTS).read_bytes())
        rewrite(Path("b"), WEIGHTS, safetensors.torch.save({**tensors, **change(tensors)}))

    return bundle(spoil)


def with_nan(tensors):
    return {"norm.weight": torch.full_like(tensors["norm.weight"], float("nan"))}


def one_band_less(tensors):
    return {"patch_embed.proj.weight": tensors["patch_embed.proj.weight"][:, :2].contiguous()}


def distributed():
    Path("b").mkdir()
    Path("b/.metadata").write_bytes(pickle.dumps(Shell()))


def file(content, path):
    return lambda: Path(path).write_bytes(content)


def cut_features():
    assert command("embed run tiles.lance --out features.parquet") == 0
    os.truncate("features.parquet", Path("features.parquet").stat().st_size // 2)


def features_with_nan():
    nan_features()
    Path("run/features.parquet").rename("features.parquet")


CODE = pickle.dumps(Shell())
BAD = {
    "37 code": (of_bytes(CODE), "is not a whole safetensors file"),
    "40 empty": (of_bytes(b""), "is not a whole safetensors file"),
    "40 web page": (of_bytes(b"<!DOCTYPE html>"), "is not a whole safetensors file"),
    "41 header": (of_bytes(struct.pack("<Q", 2**40) + b"{}"), "is not a whole safetensors file"),
    "42 NaN": (of_tensors(with_nan), "values that are not finite in norm.weight"),
    "43 channels": (of_tensors(one_band_less), "2 bands"),
    "description": (of_bytes(b"[", "bundle.json"), "bundle.json is no JSON"),
}
OTHER = {
    "38 distributed, predict": (distributed, PREDICT, 2, "b is not a bundle"),
    "38 distributed, verify": (distributed, VERIFY, 2, "b is neither a bundle nor a run"),
    "37 code, bundle": (
        file(CODE, "run/probe-linear.json"),
        f"{BUNDLE} --head probe-linear.json",
        2,
        "cannot be read as JSON",
    ),
    "37 code, search": (file(CODE, "features.parquet"), SEARCH, 3, "features.parquet"),
    "40 web page, search": (file(b"<!DOCTYPE html>", "features.parquet"), SEARCH, 3, "features.parquet"),
    "40 empty, search": (file(b"", "features.parquet"), SEARCH, 3, "features.parquet"),
    "40 cut, search": (cut_features, SEARCH, 3, "features.parquet"),
    "42 NaN, search": (features_with_nan, SEARCH, 3, "holds NaN or infinity in row 2"),
}


@pytest.mark.parametrize("words", [PREDICT, VERIFY], ids=["predict", "verify"])
@pytest.mark.parametrize(("spoil", "said"), **named(BAD))
def test_a_bad_bundle_is_refused_and_nothing_in_it_runs(assert_refused, spoil, said, words):
    spoil()
    assert_refused(words, 3, said)


@pytest.mark.parametrize(("spoil", "words", "code", "said"), **named(OTHER))
def test_what_is_no_bundle_head_or_features_is_refused(assert_refused, spoil, words, code, said):
    spoil()
    assert_refused(words, code, said)
