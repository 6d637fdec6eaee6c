"""What a run ran on: written to env.json, so that a number can be explained later.

No environment variable is read, so nothing secret can get in.
"""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Versions of swath and its packages, Python, platform, processors, threads, GPUs, for JSON."""
    return {
        "swath": _version("swath"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "packages": {name: _version(name) for name in _required()},
    }


def _required() -> list[str]:
    """Names of the packages that an installed swath asks for, extras left out."""
    try:
        wanted = metadata.requires("swath") or []
    except metadata.PackageNotFoundError:
        return []
    names = [re.split(r"[^\w.\-]", line, maxsplit=1)[0] for line in wanted if "extra ==" not in line]
    return sorted(names, key=str.lower)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", listing.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            return match[1]
    return platform.processor() or platform.machine()
