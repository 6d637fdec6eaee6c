"""The six real patches of each sensor that come with bigearthnet-common, and archives made of them."""

import bz2
import functools
import gzip
import importlib.metadata
import io
import tarfile


@functools.cache
def real_patches(sensor="S2"):
    """Members of the real archive by name: BigEarthNet-S2-Example/PATCH/PATCH_B04.tif -> bytes."""
    package = importlib.metadata.distribution("bigearthnet-common")
    packed = package.locate_file(f"bigearthnet_common/BigEarthNet-{sensor}-Example.tar.bz2").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(bz2.decompress(packed))) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def folders(members):
    return sorted({name.rsplit("/", 1)[0] for name in members})


def tar_bytes(members, *, extra=()):
    """An archive of (name, bytes) pairs or a dict, then of `extra` tarfile.TarInfo without content."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return held.getvalue()


def write_archive(path, members, *, extra=()):
    path.write_bytes(gzip.compress(tar_bytes(members, extra=extra), compresslevel=1, mtime=0))
    return path


def many_patches(count):
    """The real Sentinel-2 patches again and again, each time under another name."""
    real = real_patches()
    names = folders(real)
    found = {}
    for number in range(count):
        folder = names[number % len(names)]
        root, _, patch = folder.rpartition("/")
        other = f"{patch.rsplit('_', 2)[0][:-2]}{number:02d}_{number}_7"
        for name, data in real.items():
            if name.startswith(f"{folder}/"):
                found[f"{root}/{other}/{name.rpartition('/')[2].replace(patch, other)}"] = data
    return found
