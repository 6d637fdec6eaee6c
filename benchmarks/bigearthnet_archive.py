"""Generated archives in the real layout of BigEarthNet v1, made from the real patches of a package."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from swath.data.plain_tiff import read_plain
from swath.datasets.bigearthnet.lists import data_file, read_lists

ROOT = "BigEarthNet-v1.0"


def real_patches() -> dict[str, dict[str, bytes]]:
    """Files of the six Sentinel-2 patches that come with bigearthnet-common, by patch and file name."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data_file("BigEarthNet-S2-Example.tar.bz2"))) as archive:
        for member in archive:
            if member.isfile():
                _, patch, name = member.name.split("/")
                held = archive.extractfile(member)
                assert held is not None
                found.setdefault(patch, {})[name] = held.read()
    return found


def generated(count: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """`count` patches: the real ones, flipped and with noise, under names of the official lists.

    The noise is small, so that they compress about as well as the real ones do.
    """
    real = list(real_patches().items())
    lists = read_lists()
    names = lists["id"].filter(lists["recommended"]).slice(0, count).to_pylist()
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        patch, files = real[number % len(real)]
        flip = (
            slice(None, None, 1 - 2 * int(rng.integers(2))),
            slice(None, None, 1 - 2 * int(rng.integers(2))),
        )
        yield name, {file.replace(patch, name): _changed(data, flip, rng) for file, data in files.items()}


def _changed(data: bytes, flip: tuple[slice, slice], rng: np.random.Generator) -> bytes:
    if data[:4] != b"II*\x00":
        return json.dumps(json.loads(data)).encode()
    copy = bytearray(data)
    plain = read_plain(memoryview(data))
    assert plain is not None
    values = plain.pixels[flip] + rng.integers(0, 4, plain.pixels.shape, dtype=np.uint16)
    start = data.index(plain.pixels.tobytes())
    copy[start : start + values.nbytes] = values.tobytes()
    return bytes(copy)


def write_archive(path: Path, count: int) -> None:
    """As the published one: gzip of level 6, members of a patch side by side."""
    with gzip.open(path, "wb", compresslevel=6) as zipped, tarfile.open(fileobj=zipped, mode="w|") as archive:
        for patch, files in generated(count):
            for name, data in files.items():
                member = tarfile.TarInfo(f"{ROOT}/{patch}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
