"""`--engine ray` on a real cluster of two processors; starting it takes ten seconds."""

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from tile_archive import random_pixels, row, write_index, write_raster

import swath
from swath.data.store import TileStore
from swath.engine import engine_of
from swath.errors import DataError, MachineError

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One for all: a stage takes the cluster that its process is connected to."""
    with engine_of("ray"):
        importlib.import_module("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # ray leaves handles of processes that have ended
        gc.collect()


@pytest.fixture
def engine():
    with engine_of("ray") as found:
        yield found


def squares(given, stretch):
    for number in stretch:
        yield given * number**2


def dying(folder, stretch):
    """Kill its own process the first time that the second stretch is tried."""
    for number in stretch:
        if number == stretch.stop - 1 and stretch.start and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield number


def always_dying(_given, stretch):
    yield len(stretch)
    os.kill(os.getpid(), signal.SIGKILL)


def failing(_given, stretch):
    yield 1
    raise DataError(f"tile {stretch.start} is damaged")


def test_results_come_in_the_order_of_the_parts(engine):
    assert list(engine.over(squares, 3, 100, at_once=1)) == [3 * number**2 for number in range(100)]


def test_a_killed_worker_is_tried_again(engine, tmp_path):
    assert list(engine.over(dying, tmp_path, 20, at_once=1)) == list(range(20))
    assert (tmp_path / "died").exists()


def test_a_worker_that_dies_every_time_is_given_up_in_one_line(engine):
    with pytest.raises(
        MachineError, match=r"ray gave up a task after 4 tries: .*leave out --engine ray"
    ) as caught:
        list(engine.over(always_dying, None, 1, at_once=1))
    assert "\n" not in str(caught.value)


def test_an_error_of_a_task_is_the_error_of_the_stage(engine):
    with pytest.raises(DataError) as caught:
        list(engine.over(failing, None, 8, at_once=1))
    assert str(caught.value) == "tile 0 is damaged"


def test_embedding_equals_that_of_one_process(packed, tiny, tmp_path):
    run = tmp_path / "run"
    swath.pretrain(packed, out=run, **settings_of(tiny), steps=1)
    for engine in ("local", "ray"):
        swath.embed(run, packed, out=tmp_path / f"{engine}.parquet", batch_size=16, engine=engine)
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


@pytest.fixture
def tiles(tmp_path):
    pixels = random_pixels((1200, 3, 8, 8))
    for number, tile in enumerate(pixels):
        write_raster(tmp_path / f"{number}.tif", tile)
    return write_index(tmp_path / "index.parquet", [row(number) for number in range(len(pixels))])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_pack_equals_that_of_one_process(tiles, tmp_path):
    for engine in ("local", "ray"):
        swath.pack(tiles, out=tmp_path / f"{engine}.lance", engine=engine)
    here, there = (TileStore(tmp_path / f"{name}.lance") for name in ("local", "ray"))
    assert (there.digest, there.format, there.statistics) == (here.digest, here.format, here.statistics)
    assert there.columns(*there.column_names).equals(here.columns(*here.column_names))
    assert np.array_equal(there.read(np.arange(1200))[0], here.read(np.arange(1200))[0])
    assert len(list((tmp_path / "ray.lance" / "data").iterdir())) == 5


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_index_equals_that_of_one_process(tiles, tmp_path):
    for engine in ("local", "ray"):
        swath.index(tiles.parent, out=tmp_path / f"{engine}.parquet", layout="folder", engine=engine)
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "local.parquet").read_bytes()


_PACK_THAT_WAITS = """
import sys, time
from swath import cli, engine

result = engine._Ray._result

def result_and_wait(*given):
    yield from result(*given)
    print("half-way", flush=True)
    time.sleep(100)

engine._Ray._result = result_and_wait
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_sigterm_ends_a_stage_in_one_line_and_leaves_nothing_behind(tiles, tmp_path):
    before = folders()
    words = ["pack", str(tiles), "--out", str(tmp_path / "out" / "t.lance"), "--engine", "ray", "--quiet"]
    command = [sys.executable, "-c", _PACK_THAT_WAITS, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=without_ray()
    ) as process:
        assert process.stdout.readline() == "half-way\n"
        assert list((tmp_path / "out").iterdir())
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.splitlines()[-1] == "swath: stopped by Ctrl-C or SIGTERM; nothing half-written is left"
    assert not list((tmp_path / "out").iterdir())
    assert folders() == before


def settings_of(flags):
    pairs = zip(flags[::2], flags[1::2], strict=True)
    return {flag[2:].replace("-", "_"): int(value) if value.isdigit() else value for flag, value in pairs}


def test_a_cluster_of_our_own_listens_on_loopback_alone_and_ends_with_its_process():
    code = (
        "import os, subprocess, psutil; from swath.engine import engine_of\n"
        "with engine_of('ray'):\n"
        "    family = psutil.Process().children(recursive=True)\n"
        "    ports = [c.laddr.ip for p in family for c in p.net_connections() if c.status == 'LISTEN']\n"
        "    assert ports and {ip.removeprefix('::ffff:') for ip in ports} == {'127.0.0.1'}, ports\n"
        "_, alive = psutil.wait_procs(family, timeout=20)\n"
        "assert not alive, alive\n"
    )
    before = folders()
    subprocess.run([sys.executable, "-c", code], check=True, env=without_ray(), timeout=120)
    assert folders() == before


def without_ray():
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def folders():
    return {path.name for path in Path(tempfile.gettempdir()).glob("swath-ray-*")}
