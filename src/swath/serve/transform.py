"""The four functions by which SageMaker's serving container asks a model: batch transform of a bundle.

Its code/inference.py is one line: from swath.serve.transform import input_fn, model_fn, output_fn, predict_fn
A request is a GeoTIFF (a scene, cut to tiles as `swath predict` does) or a NumPy array (N, C, H, W) of tiles;
the answer has a row a tile, as JSON lines or Parquet.
"""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from swath.config import PredictConfig
from swath.data.raster import gdal_ready
from swath.datasets.grouping import Group
from swath.datasets.scene import scene_of
from swath.errors import DataError, UsageError
from swath.serve.bundle.folder import is_bundle
from swath.serve.bundle.model import Model, load
from swath.serve.predict.scene import predict_scene
from swath.serve.predict.table import labels_of
from swath.serve.scene.reader import SceneReader

GEOTIFF, ARRAY = "image/tiff", "application/x-npy"
JSON_LINES, PARQUET = "application/jsonlines", "application/x-parquet"
# What the container asks for where nobody asked for anything.
_ANY = {"", "*/*", "application/json"}
_FILE = "scene.tif"
_MAX_PIXELS: int = PredictConfig.model_fields["max_pixels"].default


@dataclass(frozen=True)
class SceneFile:
    """The bytes of a GeoTIFF."""

    content: bytes


Array = npt.NDArray[Any]


def model_fn(model_dir: str) -> Model:
    """The bundle that model.tar.gz holds, at its top or in one folder.

    Raises:
        UsageError: it holds none, or several.
        DataError: the bundle is damaged.
    """
    top = Path(model_dir)
    found = [folder for folder in (top, *sorted(top.iterdir())) if folder.is_dir() and is_bundle(folder)]
    if len(found) != 1:
        raise UsageError(
            f"{model_dir} holds {len(found)} bundles; expected one, made with: swath bundle RUN --out BUNDLE"
        )
    return load(found[0])


def input_fn(body: bytes, content_type: str) -> SceneFile | Array:
    """What a request holds.

    Raises:
        UsageError: of another content type.
        DataError: no array of numbers.
    """
    kind = _kind(content_type)
    if kind == GEOTIFF:
        return SceneFile(bytes(body))
    if kind != ARRAY:
        raise UsageError(f'content type "{content_type}": expected {GEOTIFF} or {ARRAY}')
    try:
        tiles: Array = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"the request is no .npy file of numbers ({error})") from error
    if not isinstance(tiles, np.ndarray):
        raise DataError("the request is an archive of arrays (.npz); expected one array (.npy)")
    return tiles


def predict_fn(data: SceneFile | Array, model: Model) -> pa.Table:
    """A row a tile: `labels` and one `p_NAME` a class, or `features` of a bundle without a head; of a scene
    also id, place and geometry.

    Raises:
        DataError: bands, size, pixel type or unit are not those of the network; both sides are named.
    """
    return _of_scene(data, model) if isinstance(data, SceneFile) else _of_tiles(data, model)


def output_fn(prediction: pa.Table, accept: str) -> tuple[bytes, str]:
    """The answer and its content type; JSON lines where nothing was asked for.

    Raises:
        UsageError: something else was asked for.
    """
    kind = _kind(accept)
    if kind == PARQUET:
        stream = io.BytesIO()
        pq.write_table(prediction, stream, compression="zstd")
        return stream.getvalue(), PARQUET
    if kind not in {JSON_LINES, *_ANY}:
        raise UsageError(f'accept "{accept}": expected {JSON_LINES} or {PARQUET}')
    return "".join(json.dumps(_plain(row)) + "\n" for row in prediction.to_pylist()).encode(), JSON_LINES


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _of_scene(scene: SceneFile, model: Model) -> pa.Table:
    """By the files that `swath predict` makes. Windows overlap where that changes a row of the table."""
    with tempfile.TemporaryDirectory(prefix="swath-") as name, gdal_ready():
        folder = Path(name)
        (folder / _FILE).write_bytes(scene.content)
        try:
            opened = scene_of(Group("scene", (_FILE,), ()), folder, max_pixels=_MAX_PIXELS)
            reader = SceneReader(opened, model.about.tiles, multiply=None, max_pixels=_MAX_PIXELS)
            try:
                predict_scene(model, reader, folder, parts=2 if model.task == "segmentation" else 1)
            finally:
                reader.close()
        except DataError as error:
            raise DataError(str(error).replace(f"{folder}/", "")) from error
        return pq.read_table(folder / "tiles.parquet")


def _of_tiles(tiles: Array, model: Model) -> pa.Table:
    if model.task is None:
        values = model.embed(tiles)
        features = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), model.dim)
        return pa.table({"tile": np.arange(len(values)), "features": features})
    answers = model.predict(tiles).probabilities
    if model.task == "segmentation":  # the mean of the pixels, as in the table of a scene
        answers = answers.mean(axis=(2, 3))
    labels = pa.array(labels_of(answers, model.class_names, model.task), pa.list_(pa.string()))
    named = {f"p_{name}": answers[:, k] for k, name in enumerate(model.class_names)}
    return pa.table({"tile": np.arange(len(answers)), "labels": labels, **named})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no bytes: the geometry is written as GeoJSON writes it."""
    outline = row.get("geometry")
    return row if outline is None else {**row, "geometry": shapely.from_wkb(outline).__geo_interface__}
