"""Fine-tuning of a run in s3:// into a run in s3://: the one that is made here, stopped and moved or not."""

import pytest
from masked_tiles import make_pack, make_run
from s3_server import put_folder

import swath
from swath import storage
from swath.errors import Stopped, UsageError
from swath.runtime.checkpoint import state_hash
from swath.runtime.mirror import run_here
from swath.runtime.run import Run

SMALL = {"task": "labels", "epochs": 3, "batch_size": 10, "precision": "float32"}


def test_a_fine_tuning_stopped_here_and_gone_on_with_elsewhere_is_the_one_never_stopped(
    tmp_path, place, machine, monkeypatch
):
    tiles = make_pack(tmp_path / "tiles.lance", labels=True).path
    run = put_folder(make_run(tmp_path / "run").path, place("run"))
    whole = swath.finetune(tmp_path / "run", tiles, out=tmp_path / "tuned", **SMALL)
    monkeypatch.setenv("SWATH_FAULT", "stop@step=4")
    with pytest.raises(Stopped, match="at step 5; saved"):
        swath.finetune(run, tiles, out=place("tuned"), **SMALL)
    monkeypatch.delenv("SWATH_FAULT")
    machine("b")
    parts = swath.finetune(run, tiles, out=place("tuned"), **SMALL)
    assert (parts.scores, str(parts.out)) == (whole.scores, f"{place('tuned')}/finetune.json")
    assert storage.is_file(parts.out)
    with run_here(place("tuned")) as folder:
        states = [Run.open(path).checkpoint().tensors for path in (folder, tmp_path / "tuned")]
    assert state_hash(states[0]) == state_hash(states[1])
    with pytest.raises(UsageError, match="none does not exist"):
        swath.finetune(place("none"), tiles, out=place("x"), **SMALL)
    assert not storage.exists(place("x"))
