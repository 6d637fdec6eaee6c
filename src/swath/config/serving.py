"""Settings of bundle and verify: a run -> what others use."""

from pathlib import Path

from swath.config.settings import Settings


class BundleConfig(Settings):
    """Make one folder of a run that others can use: network, head, and how their pixels have to be read."""

    run: Path
    """Folder of a run; one that was fine-tuned brings its own head."""
    out: Path
    """Folder of the bundle."""
    head: Path | None = None
    """The .json that swath probe wrote (probe-linear.json, probe-segmentation.json), or its name in RUN."""
    licence: Path | None = None
    """Text of the licence of the weights; where not given, LICENSE says that none was chosen."""


class VerifyConfig(Settings):
    """Compare every file of a bundle, or of the checkpoints of a run, with the hashes written beside it."""

    path: Path
    """Folder of a bundle or of a run."""
