"""The fixtures of tests/striped_run.py, and a features file of known vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from striped_run import float32, make_pack, make_run

from swath.features.backbone import open_backbone
from swath.features.table import write_features

__all__ = ["float32", "make_features", "make_pack", "make_run"]

FeaturesMaker = Callable[..., Path]


@pytest.fixture
def make_features(make_pack, make_run, tmp_path) -> FeaturesMaker:
    """A function that writes a features file of given values (N, 32), or of values drawn from a seed."""

    def make(name="features.parquet", *, values=None, count=60, seed=3, **pack) -> Path:
        drawn = np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)
        values = drawn if values is None else np.asarray(values, np.float32)
        store = make_pack(f"{name}.lance", count=len(values), **pack)
        write_features(tmp_path / name, store, open_backbone(make_run()), np.array_split(values, 7))
        return tmp_path / name

    return make
