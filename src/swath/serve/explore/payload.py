"""What the page loads at its start: one JSON description, and one block of bytes, the numbers.

The block holds arrays one after another, float32 before uint8, little-endian; the description says where.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.serve.explore.archive import Archive
from swath.serve.explore.colouring import NOTHING, label_bits


@dataclass(frozen=True)
class Payload:
    """`about` is plain JSON values; `block` the bytes that it describes."""

    about: dict[str, Any]
    block: bytes


def payload_of(archive: Archive) -> Payload:
    """All that does not change while the page is open."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "near": archive.arrangement.near,
        "pca": archive.arrangement.pca,
        "corners": archive.ground.corners.reshape(len(archive), 8),
        **{f"colour-{each.key}": each.values for each in archive.colourings},
        "labels": label_bits(archive.store),
    }
    places, block = _block(arrays)
    store, ground = archive.store, archive.ground
    about = {
        "run": _name(archive.run),
        "tiles": len(archive),
        "version": store.digest[:12],
        "located": int(ground.known.sum()),
        "origin": ground.origin,
        "bands": list(store.format.bands),
        "size_px": store.format.size_px,
        "gsd_m": store.format.gsd_m,
        "colours": archive.thumbnails.display.eye.colours,
        "attribution": store.info.get("attribution", ""),
        "vocabulary": list(store.vocabulary),
        "label_counts": store.labels().sum(axis=0, dtype=np.int64).tolist(),
        "nothing": NOTHING,
        "colourings": [
            {
                "key": each.key,
                "title": each.title,
                "names": list(each.names),
                "counts": _counts(each.values, len(each.names)),
                "about": each.about,
            }
            for each in archive.colourings
        ],
        "arrays": places,
    }
    return Payload(about, block)


def _block(arrays: dict[str, npt.NDArray[Any]]) -> tuple[dict[str, dict[str, Any]], bytes]:
    places: dict[str, dict[str, Any]] = {}
    parts: list[bytes] = []
    offset = 0
    for name in sorted(arrays, key=lambda name: arrays[name].dtype == np.uint8):
        values = np.ascontiguousarray(arrays[name]).astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        places[name] = {"type": str(arrays[name].dtype), "offset": offset, "length": int(values.size)}
        parts.append(values.tobytes())
        offset += values.nbytes
    return places, b"".join(parts)


def _counts(values: npt.NDArray[Any], names: int) -> list[int]:
    """Tiles of each code, and last those of which nothing is known; empty for numbers."""
    if values.dtype != np.uint8:
        return []
    counts = np.bincount(values, minlength=NOTHING + 1)
    return [*counts[:names].tolist(), int(counts[NOTHING])]


def _name(run: Path) -> str:
    """The last two parts of its path."""
    return "/".join(run.resolve().parts[-2:])
