"""The four functions, called as the serving container calls them; oracle: swath predict and swath.load."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from bundle_folder import tiles_of
from striped_scene import bands_of, write_stack
from striped_tiles import BANDS, VOCABULARY

import swath
from swath.errors import DataError, UsageError
from swath.serve.transform import input_fn, model_fn, output_fn, predict_fn

NPY, TIFF, LINES, PARQUET = (
    "application/x-npy", "image/tiff", "application/jsonlines", "application/x-parquet",
)  # fmt: skip


def asked(folder, body, content_type, accept):
    """As the container: the body is bytes, the answer is the first of two."""
    content, kind = output_fn(
        predict_fn(input_fn(bytearray(body), content_type), model_fn(str(folder))), accept
    )
    return content if kind == PARQUET else [json.loads(line) for line in content.splitlines()]


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def whole_tiles(store, rows):
    """(N, C, H, W), the coarse band enlarged by repetition."""
    bands = tiles_of(store, list(rows))
    side = bands["B04"].shape[-1]
    return np.stack(
        [
            bands[b].repeat(side // bands[b].shape[-1], axis=1).repeat(side // bands[b].shape[-1], axis=2)
            for b in BANDS
        ],
        axis=1,
    )


@pytest.fixture
def scene(tmp_path):
    return write_stack(tmp_path / "stack.tif", bands_of(88, 70)).read_bytes()


def test_a_geotiff_gets_the_rows_of_swath_predict(bundled, scene, tmp_path):
    swath.predict(bundled[1], tmp_path / "stack.tif", out=tmp_path / "out")
    expected = pq.read_table(tmp_path / "out/stack/tiles.parquet")
    found = pq.read_table(io.BytesIO(asked(bundled[1], scene, TIFF, PARQUET)))
    assert found.column_names == expected.column_names
    for name in expected.column_names[1:]:
        assert found[name].equals(expected[name]), name
    rows = asked(bundled[1], scene, "image/tiff; name=x", "*/*")
    assert [row["labels"] for row in rows] == expected["labels"].to_pylist()
    assert [row[f"p_{VOCABULARY[0]}"] for row in rows] == expected[f"p_{VOCABULARY[0]}"].to_pylist()
    assert rows[0]["geometry"]["type"] == "Polygon"


def test_an_array_of_tiles_gets_the_answers_of_the_model(bundled, probed, tmp_path):
    store, path = bundled
    tiles = whole_tiles(store, range(5))
    model = swath.load(path)
    rows = asked(path, npy(tiles), NPY, LINES)
    found = np.array([[row[f"p_{name}"] for name in VOCABULARY] for row in rows], np.float32)
    np.testing.assert_array_equal(found, model.predict(tiles).probabilities)
    assert [tuple(row["labels"]) for row in rows] == model.predict(tiles).labels
    swath.bundle(probed[1].path, out=tmp_path / "model/plain")  # a folder in model.tar.gz
    table = pq.read_table(io.BytesIO(asked(tmp_path / "model", npy(tiles), NPY, PARQUET)))
    np.testing.assert_array_equal(np.stack(table["features"].to_numpy()), model.embed(tiles))


def wrong_requests(store, folder):
    tiles = whole_tiles(store, range(2))
    named = write_stack(folder / "a.tif", bands_of(40, 40), names=False).read_bytes()
    small = write_stack(folder / "b.tif", bands_of(8, 8)).read_bytes()
    return {
        "type": (b"", "text/csv", LINES, UsageError, "expected image/tiff or application/x-npy"),
        "accept": (npy(tiles), NPY, "text/csv", UsageError, "expected application/jsonlines or"),
        "no array": (b"\x93NUMPY cut", NPY, LINES, DataError, "no .npy file of numbers"),
        "objects": (npy(np.array([{}])), NPY, LINES, DataError, "no .npy file of numbers"),
        "shape": (npy(tiles[:, :, :8]), NPY, LINES, DataError, "expected (N, 4, 16, 16)"),
        "bands": (npy(tiles[:, :3]), NPY, LINES, DataError, "bands B04,B03,B08,B11"),
        "pixels": (npy(tiles.astype(np.int64)), NPY, LINES, DataError, "int64"),
        "unnamed bands": (named, TIFF, LINES, DataError, "does not name its bands"),
        "small scene": (small, TIFF, LINES, DataError, "too small"),
        "no image": (b"II*\0 cut", TIFF, LINES, DataError, "scene.tif"),
    }


def test_what_does_not_fit_is_refused_in_words_without_a_path_of_the_container(bundled, tmp_path):
    for name, (body, kind, accept, error, said) in wrong_requests(bundled[0], tmp_path).items():
        with pytest.raises(error) as caught:
            asked(bundled[1], body, kind, accept)
        assert said in str(caught.value), name
        assert "/swath-" not in str(caught.value), name  # a folder of the container


def test_a_folder_without_a_bundle_or_with_two_is_refused(bundled, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="holds 0 bundles"):
        model_fn(str(tmp_path / "none"))
    for name in ("a", "b"):
        shutil.copytree(bundled[1], tmp_path / "two" / name)
    with pytest.raises(UsageError, match="holds 2 bundles"):
        model_fn(str(tmp_path / "two"))
