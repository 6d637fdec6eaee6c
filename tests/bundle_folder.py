"""Tiles for the model of a bundle, and edits of its folder that hashes do not tell."""

import json

import numpy as np

from swath.files import sha256_of


def tiles_of(store, rows):
    """By band, each at its own resolution."""
    groups = store.read(np.asarray(rows))
    return {
        band: pixels[:, i]
        for pixels, group in zip(groups, store.format.groups, strict=True)
        for i, band in enumerate(group.bands)
    }


def rewrite(bundle, name, content):
    """Change a file and its line in the manifest: what a forger would do, or a bug of ours."""
    (bundle / name).write_bytes(content)
    manifest = json.loads((bundle / "MANIFEST.json").read_text())
    manifest["files"][name] = {"size": len(content), "sha256": sha256_of(bundle / name)}
    (bundle / "MANIFEST.json").write_text(json.dumps(manifest))


def redescribe(bundle, change):
    about = json.loads((bundle / "bundle.json").read_text())
    change(about)
    rewrite(bundle, "bundle.json", json.dumps(about).encode())
