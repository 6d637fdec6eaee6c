"""What tests of archives share."""

import pytest

from swath.prepare import archive_rows, pack_archive


@pytest.fixture
def without_lists(monkeypatch):
    monkeypatch.setattr(archive_rows, "_official", lambda _first: None)


@pytest.fixture
def small_fragments(monkeypatch):
    monkeypatch.setattr(pack_archive, "_BATCH", 2)
    monkeypatch.setattr(pack_archive, "_SAVE_EVERY", 4)
