"""What changes while the page is open: the marks of labels, and the scores that follow from them."""

import shlex
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import UsageError
from swath.location import Location
from swath.pages.pictures import column
from swath.serve.explore.archive import Archive
from swath.serve.explore.example_probe import ExampleProbe
from swath.serve.explore.label_files import LabelFolder, Marks


class Session:
    """One at a time: marks are written, the probe is fitted again, all tiles are scored."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.probe = ExampleProbe(archive.features)
        self.folder = LabelFolder(archive.run, archive.ids, column(archive.store, "geometry"))
        self._lock = threading.Lock()

    def labels(self) -> list[dict[str, Any]]:
        """The labels of the run with their marks, in plain values."""
        return [self._described(marks) for marks in self.folder.read()]

    def take(self, marks: Marks) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
        """Write the marks; what was written, and scores (N,), none without a positive tile.

        Raises:
            UsageError: a row number that is not of this archive.
            MachineError: the disk is full.
        """
        if marks.rows and not 0 <= marks.rows[0] <= marks.rows[-1] < len(self._archive):
            raise UsageError(f"rows {marks.rows[0]} to {marks.rows[-1]} are not all tiles of this archive")
        with self._lock:
            self.folder.write(marks)
            started = time.perf_counter()
            scores = np.zeros(0, dtype=np.float32)
            if marks.positive:
                scores = self.probe.scores(marks.positive, marks.negative)
            seconds = time.perf_counter() - started
        return {**self._described(marks), "seconds": round(seconds, 3)}, scores

    def _described(self, marks: Marks) -> dict[str, Any]:
        path = self.folder.address(marks.label)
        return {
            "label": marks.label,
            "positive": list(marks.positive),
            "negative": list(marks.negative),
            "file": str(path),
            "command": self._command(path),
        }

    def _command(self, labels: Location) -> str:
        """Index the same tiles again, with these labels."""
        info = self._archive.store.info
        words = ["swath", "index", str(info.get("root") or "SOURCE")]
        if info.get("layout") in {"scenes", "bigearthnet"}:  # a table of labels would be taken for a folder's
            words += ["--layout", info["layout"]]
        if info.get("layout") == "scenes":
            words += ["--tile-px", str(info["tile_px"]), "--stride-px", str(info["stride_px"])]
        return shlex.join([*words, "--labels", str(labels), "--out", "labelled.parquet"])
