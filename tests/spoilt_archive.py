"""A small whole archive with what each stage makes of it, and ways to spoil it; all in the current folder.

What spoils gives a function, so that tables of bad inputs can hold it and a test calls it.
"""

import struct
import warnings
import zlib
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry import box

from swath.cli import main

TINY = "--config lr.yaml --model vit_micro --patch-size 8 --out-dim 16 --local-views 0 --batch-size 4"
TILE = "tiles/03.tif"


def write_tif(path, pixels, **more):
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 400_000, 0, -10, 5_000_000)}
    shape = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **(place | shape | more)) as target:
            target.write(pixels)


def noise(*shape):
    return np.random.default_rng(0).integers(1, 250, shape).astype(np.uint8)


def command(words):
    return main([*words.split(), "--quiet"])


def make_archive():
    """Tiles with labels and a split, a scene, and what each stage makes of them, in the current folder."""
    Path("tiles").mkdir()
    Path("out").mkdir()
    Path("out/kept.txt").write_text("precious")
    rows = [f"{n:02}.tif,{'ab'[n % 2]},{'test' if n > 7 else 'train'}" for n in range(12)]
    for n in range(12):
        write_tif(f"tiles/{n:02}.tif", noise(3, 16, 16) // (1 + n % 3))
    Path("tiles/labels.csv").write_text("\n".join(["path,class,split", *rows]))
    write_tif("scene.tif", noise(3, 64, 64))
    Path("lr.yaml").write_text("lr: 1e-3\nmonitor_every: 0\n")
    assert command("index tiles --out index.parquet") == 0
    assert command("pack index.parquet --out tiles.lance") == 0
    assert command("pack index.parquet --out two.lance --bands red,green") == 0
    assert command(f"pretrain tiles.lance --out run --steps 1 {TINY}") == 0


def text(content, path=TILE):
    return lambda: Path(path).write_text(content)


def cut(share, path=TILE):
    return lambda: Path(path).write_bytes(Path(path).read_bytes()[: int(Path(path).stat().st_size * share)])


def tile(*shape, value=None, **more):
    return lambda: write_tif(
        TILE, noise(*shape) if value is None else np.full(shape, value, np.uint8), **more
    )


def link(target):
    def spoil():
        Path(TILE).unlink()
        Path(TILE).symlink_to(target)

    return spoil


def scene(pixels, **more):
    def spoil():
        fields()()
        write_tif("scene.tif", pixels, **more)

    return spoil


def sparse():
    shape = {"width": 200_000, "height": 200_000, "count": 1, "dtype": "uint8", "driver": "GTiff"}
    blocks = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "SPARSE_OK": True}
    with rasterio.open(TILE, "w", transform=rasterio.Affine.scale(2), **shape, **blocks):
        pass


def bomb():
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    packed = chunk(b"IDAT", zlib.compress(bytes(20_001 * 20_000), 1)) + chunk(b"IEND", b"")
    Path("tiles/bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + packed)


def corrupt():
    write_tif(TILE, noise(3, 16, 16), compress="deflate")
    held = bytearray(Path(TILE).read_bytes())
    held[-400:-100] = b"\xff" * 300
    Path(TILE).write_bytes(held)


def flip_in_pack():
    (path,) = Path("tiles.lance/data").iterdir()
    held, pixels = bytearray(path.read_bytes()), rasterio.open("tiles/05.tif").read()
    held[held.find(pixels.tobytes()) + 10] ^= 1
    path.write_bytes(held)


def rows(**columns):
    """Set columns of the index; None takes one away."""

    def spoil():
        table = pq.read_table("index.parquet")
        for name, values in columns.items():
            place = table.schema.get_field_index(name)
            field = table.schema.field(name)
            table = table.remove_column(place)
            if values is not None:
                table = table.add_column(place, field, pa.array(values(len(table)), field.type))
        pq.write_table(table, "index.parquet")

    return spoil


def empty_index():
    pq.write_table(pq.read_table("index.parquet").slice(0, 0), "index.parquet")


def fields(*, crs="EPSG:32633"):
    def write():
        left = box(400_000, 4_999_360, 400_320, 5_000_000)
        frame = geopandas.GeoDataFrame({"kind": ["farm"]}, geometry=[left], crs="EPSG:32633")
        frame = frame.to_crs(crs) if crs else frame.set_crs(None, allow_override=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            frame.to_file("fields.gpkg")

    return write
