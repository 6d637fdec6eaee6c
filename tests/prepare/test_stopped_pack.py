import os
import signal
import subprocess
import sys

import pytest
from archive_pack import RGB, pack_from, same_packs, spoilt
from real_patches import many_patches, write_archive

from swath import storage
from swath.config import PackConfig
from swath.data.store import TileStore
from swath.errors import DataError, MachineError, Stopped, UsageError
from swath.prepare import pack, pack_archive
from swath.runtime.lock import RunLock

pytestmark = pytest.mark.usefixtures("without_lists")


@pytest.mark.usefixtures("small_fragments")
def test_a_cut_archive_says_what_is_whole_and_the_whole_one_goes_on(tmp_path):
    whole = write_archive(tmp_path / "archive.tar.gz", many_patches(20))
    pack_from(tmp_path, whole, out="uncut.lance")
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(
        DataError, match=r"is truncated: \d+ members are whole.* 1\d patches are packed and kept"
    ) as caught:
        pack_from(tmp_path, whole)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tiles.lance").exists()
    whole.write_bytes(content)
    result = pack_from(tmp_path, whole)
    assert result.tiles == 20
    same_packs(tmp_path / "tiles.lance", tmp_path / "uncut.lance")


STOPPED_PACK = """
import os, signal, sys
from pathlib import Path
from swath.prepare import archive_rows, pack_archive
from swath import cli
archive_rows._official = lambda _first: None
pack_archive._BATCH, pack_archive._SAVE_EVERY = 2, 4
take = pack_archive._Packing._take
def counted(self, patch):
    take(self, patch)
    if self._seen == int(sys.argv[4]):
        os.kill(os.getpid(), getattr(signal, sys.argv[3]))
pack_archive._Packing._take = counted
sys.exit(cli.main(["pack", sys.argv[1], "--bands", "B04,B03,B02", "--out", sys.argv[2]]))
"""


@pytest.mark.usefixtures("small_fragments")
@pytest.mark.parametrize(("name", "code", "kept"), [("SIGTERM", 143, 7), ("SIGKILL", -signal.SIGKILL, 4)])
def test_a_stopped_pack_goes_on_and_ends_as_one_that_was_not(name, code, kept, tmp_path):
    archive = write_archive(tmp_path / "archive.tar.gz", many_patches(12))
    out = tmp_path / "tiles.lance"
    command = [sys.executable, "-c", STOPPED_PACK, str(archive), str(out), name, "7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    if name == "SIGTERM":
        assert "7 patches are packed and kept. The same command goes on." in ended.stderr
    (part,) = tmp_path.glob(".tiles.lance.part")
    taken = []
    take = pack_archive._Packing._take
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pack_archive._Packing, "_take", lambda self, p: (taken.append(p.name.name), take(self, p))
        )
        pack_from(tmp_path, archive)
    assert len(taken) == 12 - kept, "what was packed is not packed again"
    assert not part.exists()
    pack_from(tmp_path, archive, out="uninterrupted.lance")
    same_packs(out, tmp_path / "uninterrupted.lance")
    assert sum(path.stat().st_size for path in (out / "data").iterdir()) < 1.2 * 12 * 3 * 120 * 120 * 2


def test_a_second_pack_to_the_same_place_is_kept_away(tmp_path):
    with (
        RunLock(tmp_path / ".tiles.lance.part"),
        pytest.raises(MachineError, match=r"tiles\.lance\.part is in use by pid \d+"),
    ):
        pack_from(tmp_path, many_patches(2))


def test_a_finished_pack_holds_the_files_of_lance_alone(tmp_path):
    pack_from(tmp_path, many_patches(2))
    names = sorted(path.name for path in (tmp_path / "tiles.lance").iterdir())
    assert names == ["_transactions", "_versions", "data"]


@pytest.mark.usefixtures("small_fragments")
def test_going_on_with_other_settings_is_refused(tmp_path):
    members, _ = spoilt("B03.tif", lambda _: None)
    with pytest.raises(DataError):
        pack_from(tmp_path, members)
    with pytest.raises(
        UsageError, match=r"tiles\.lance\.part holds a pack that was begun with another bands"
    ):
        pack_from(tmp_path, members, bands=("B04",))


@pytest.mark.usefixtures("small_fragments")
def test_archive_and_pack_may_lie_on_s3(any_s3, tmp_path, monkeypatch):
    with storage.object_aside(any_s3("archive.tar.gz")) as aside:
        write_archive(aside, many_patches(10))
    config = PackConfig(index=any_s3("archive.tar.gz"), out=any_s3("tiles.lance"), bands=RGB)
    take = pack_archive._Packing._take

    def stop_at_six(self, patch):
        take(self, patch)
        if self._seen == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pack_archive._Packing, "_take", stop_at_six)
    with pytest.raises(Stopped, match="6 patches are packed and kept"):
        pack.run(config)
    with pytest.raises(DataError, match="interrupted"):
        TileStore(config.out)
    monkeypatch.setattr(pack_archive._Packing, "_take", take)
    pack.run(config)
    pack_from(tmp_path, many_patches(10))
    same_packs(config.out, tmp_path / "tiles.lance")
    assert not [name for name in storage.list_files(config.out) if "progress" in name]
