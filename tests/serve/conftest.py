"""The fixtures of tests/striped_run.py, and a bundle."""

import pytest
from striped_run import float32, make_pack, make_run

import swath

__all__ = ["float32", "make_pack", "make_run"]


@pytest.fixture
def probed(make_pack, make_run):
    """A pack, a run and the linear probe of it."""
    store, made = make_pack(), make_run()
    swath.probe(made.path, store.path, rounds=100)
    return store, made


@pytest.fixture
def bundled(probed, tmp_path):
    """A bundle with a head of several labels, and the pack its head was fitted on."""
    store, made = probed
    swath.bundle(made.path, out=tmp_path / "bundle", head="probe-linear.json")
    return store, tmp_path / "bundle"
