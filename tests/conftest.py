"""Small archives that whole-flow tests share, made once a session from a seed."""

import contextlib
import logging
import os
import shutil
import uuid
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from s3_server import KEYS, moto, seaweedfs, server_ports
from spoilt_archive import command, make_archive

from swath import storage
from swath.location import S3Path
from swath.runtime import lease, mirror

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

TEXTURES = ("flat", "stripes", "checks")


def texture_scene(seed: int, *, side_px: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """A scene (3, side, side) uint8 of 64 px fields, and the texture number of each pixel.

    All textures have the same mean and share of bright pixels, so only their pattern tells them apart.
    """
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, len(TEXTURES), (side_px // 64, side_px // 64))
    kind = np.kron(fields, np.ones((64, 64), dtype=int))
    y, x = np.mgrid[:side_px, :side_px]
    noise = rng.integers(0, 2, (side_px, side_px))
    bright = np.choose(kind, [noise, (x // 2) % 2, (x // 4 + y // 4) % 2])
    image = 90 + 60 * bright[None] + rng.normal(0, 12, (3, side_px, side_px))
    return image.clip(0, 255).astype(np.uint8), kind


def write_scene(
    path: Path, image: np.ndarray, *, crs: str | None = "EPSG:32633", gsd_m: float = 10.0
) -> Path:
    profile = {"driver": "GTiff", "width": image.shape[2], "height": image.shape[1], "count": image.shape[0]}
    where = {"crs": crs, "transform": from_origin(330_000, 5_820_000, gsd_m, gsd_m)} if crs else {}
    with rasterio.open(path, "w", **profile, dtype=image.dtype, **where) as target:
        target.write(image)
    return path


@pytest.fixture(autouse=True)
def logger_as_imported():
    """A command run in this process, be it by a fixture, takes the logger `swath`; each test gets it back."""
    logger = logging.getLogger("swath")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one georeferenced scene and polygons of its textures in column `kind`."""
    import geopandas
    from rasterio.features import shapes
    from shapely.geometry import shape

    folder = tmp_path_factory.mktemp("archive")
    image, kind = texture_scene(0)
    scene = write_scene(folder / "scene.tif", image)
    with rasterio.open(scene) as source:
        found = [
            (shape(s), TEXTURES[int(v)]) for s, v in shapes(kind.astype("uint8"), transform=source.transform)
        ]
    frame = geopandas.GeoDataFrame({"kind": [name for _, name in found]}, geometry=[g for g, _ in found])
    frame.set_crs("EPSG:32633").to_file(folder / "fields.gpkg")
    return folder


@pytest.fixture(scope="session")
def packed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """144 packed tiles of 32 px in 3 bands, multi-labelled, split by blocks into train and test."""
    import swath

    folder = tmp_path_factory.mktemp("packed")
    swath.index(
        archive / "scene.tif",
        out=folder / "index.parquet",
        labels=archive / "fields.gpkg",
        label_column="kind",
        layout="scenes",
        tile_px=32,
    )
    swath.split(
        folder / "index.parquet", out=folder / "split.parquet", by="blocks", block_m=640, val_share=0.0
    )
    swath.pack(folder / "split.parquet", out=folder / "tiles.lance")
    return folder / "tiles.lance"


TINY = (
    "--model", "vit_micro", "--patch-size", "16", "--batch-size", "16", "--out-dim", "64",
    "--local-views", "2", "--local-px", "16", "--monitor-every", "0",
)  # fmt: skip


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Flags of a network that trains in a second."""
    return list(TINY)


@pytest.fixture(scope="session")
def whole_archive(tmp_path_factory):
    """The archive where it was made (an index knows where its files are), and a copy to restore it from."""
    here = tmp_path_factory.mktemp("archive")
    with contextlib.chdir(here):
        make_archive()
    copy = tmp_path_factory.mktemp("copy") / "whole"
    shutil.copytree(here, copy)
    return here, copy


@pytest.fixture
def archive_here(whole_archive, monkeypatch):
    """A small whole archive (spoilt_archive.py) as the current folder, to be spoilt."""
    here, copy = whole_archive
    shutil.rmtree(here)
    shutil.copytree(copy, here)
    monkeypatch.chdir(here)
    return here


def _content(folder):
    """Every file, link and folder below `folder`, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else path.is_dir()
        for path in folder.rglob("*")
    }


@pytest.fixture
def assert_refused(archive_here, capfd):
    """Run a command that must end with `code`, in one line for each of `said`, and change only `left`.

    What the libraries below say by themselves counts too.
    """

    def run(words, code, *said, left=frozenset()):
        before = _content(archive_here)
        capfd.readouterr()
        assert command(words) == code
        output = capfd.readouterr()
        for line, part in zip(output.err.splitlines(), said, strict=True):
            assert line.startswith("swath: ")
            assert part in line
        assert output.out == ""
        after = _content(archive_here)
        assert {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)} == left

    return run


@pytest.fixture(scope="session")
def seaweedfs_url(tmp_path_factory: pytest.TempPathFactory):
    with seaweedfs(tmp_path_factory.mktemp("weed")) as url:
        yield url


@pytest.fixture(scope="session")
def moto_url():
    with moto() as url:
        yield url


@pytest.fixture
def s3(seaweedfs_url, monkeypatch):
    """`s3("tiles.lance")` is a fresh place on a real S3 server, and the environment leads there."""
    return _reach(seaweedfs_url, monkeypatch)


@pytest.fixture(params=["seaweedfs", "moto"])
def any_s3(request, monkeypatch):
    """As `s3`, on each of two implementations of the protocol."""
    return _reach(request.getfixturevalue(f"{request.param}_url"), monkeypatch)


@pytest.fixture
def place(moto_url, s3_at, machine, monkeypatch):
    """As `s3`, on moto, from machine "a"; what waits and looks does so quickly."""
    machine("a")
    monkeypatch.setattr(lease, "SILENT_S", 0.3)
    monkeypatch.setattr(lease, "LOOK_S", 0.02)
    monkeypatch.setattr(mirror, "LOOK_S", 0.05)
    monkeypatch.setattr(storage, "_RETRY_WITHIN", timedelta(seconds=0.2))
    storage._opened.cache_clear()
    yield s3_at(moto_url)
    storage._opened.cache_clear()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine("b")`: from here on this is another machine, with a folder for temporary files of its own."""

    def move(name):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))

    return move


@pytest.fixture
def s3_at(monkeypatch):
    """`s3_at(url)` is as `s3`, on the server at that address."""
    return lambda url: _reach(url, monkeypatch)


@pytest.fixture
def server(tmp_path, s3_at):
    """Starts a real S3 server, or starts it again as it was; the environment leads there."""
    folder, ports = tmp_path / "weed", server_ports()
    folder.mkdir()

    def start():
        s3_at(f"http://127.0.0.1:{ports[-1]}")
        return seaweedfs(folder, ports)

    return start


def _reach(url, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    folder = S3Path("bucket", uuid.uuid4().hex)
    return lambda name: folder / name
