"""swath: from an archive of unlabelled overhead imagery to a vision transformer, and the proof of what it is
worth.

The stages of the command line are functions here, with the same names and settings:

    import swath

    swath.index("imagery/", out="index.parquet", tile_px=120)
    swath.pack("index.parquet", out="tiles.lance")
    run = swath.pretrain("tiles.lance", out="runs/first", minutes=10)
    print(swath.probe(run.path, "tiles.lance").to_json())

Importing swath configures nothing and reads no environment; torch is imported by the first stage that needs
it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swath.data.dataset import TileDataset
    from swath.errors import DataError, MachineError, Stopped, SwathError, TrainingError, UsageError
    from swath.runtime.run import Run
    from swath.stages import (
        audit,
        bundle,
        describe,
        download,
        embed,
        explore,
        export,
        finetune,
        import_weights,
        index,
        ladder,
        load,
        pack,
        predict,
        pretrain,
        probe,
        replay,
        report,
        search,
        split,
        verify,
    )

_HOME = {
    **dict.fromkeys(
        (
            "download",
            "index",
            "split",
            "audit",
            "describe",
            "pack",
            "pretrain",
            "replay",
            "embed",
            "explore",
            "export",
            "import_weights",
            "probe",
            "ladder",
            "finetune",
            "report",
            "bundle",
            "verify",
            "load",
            "search",
            "predict",
        ),
        "swath.stages",
    ),
    **dict.fromkeys(
        ("SwathError", "UsageError", "DataError", "TrainingError", "MachineError", "Stopped"), "swath.errors"
    ),
    "TileDataset": "swath.data.dataset",
    "Run": "swath.runtime.run",
}

__all__ = [
    "DataError",
    "MachineError",
    "Run",
    "Stopped",
    "SwathError",
    "TileDataset",
    "TrainingError",
    "UsageError",
    "audit",
    "bundle",
    "describe",
    "download",
    "embed",
    "explore",
    "export",
    "finetune",
    "import_weights",
    "index",
    "ladder",
    "load",
    "pack",
    "predict",
    "pretrain",
    "probe",
    "replay",
    "report",
    "search",
    "split",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'swath' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
