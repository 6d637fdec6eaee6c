"""How a training starts: from given weights, or not at all (a dry run)."""

import json

import pytest
import torch

import swath
from swath.cli import main
from swath.models.vit import VisionTransformer, shape_of
from swath.models.weights import save_weights
from swath.runtime.run import Run

STEPS = ("--steps", "3")


def test_a_dry_run_says_time_memory_and_disk_and_writes_nothing(pretrain, tmp_path):
    answer = pretrain(tmp_path / "dry", "--steps", "500", "--dry-run")
    assert answer.code == 0
    assert answer.json["steps"] == 500
    assert answer.json["minutes"] > 0
    assert answer.json["checkpoint_mib"] > 1
    assert answer.json["disk_mib"] == pytest.approx(5 * answer.json["checkpoint_mib"], abs=0.3)
    assert answer.json["peak_memory_mib"] > 100
    assert not (tmp_path / "dry").exists()


def test_minutes_become_steps_that_the_run_keeps(pretrain, tmp_path):
    answer = pretrain(tmp_path / "timed", "--minutes", "0.001")
    assert answer.code == 0
    assert answer.json["steps"] == 10, "ten steps at least"
    assert Run.open(tmp_path / "timed").recipe["steps"] == 10


def test_init_starts_from_the_weights_of_another_run(pretrain, tmp_path):
    assert pretrain(tmp_path / "first", *STEPS).code == 0
    answer = pretrain(tmp_path / "second", *STEPS, "--lr", "1e-12", "--init", str(tmp_path / "first"))
    assert "54 tensors matched" in answer.errors
    first = Run.open(tmp_path / "first").checkpoint().tensors["teacher"]
    second = Run.open(tmp_path / "second").checkpoint().tensors["teacher"]
    for name, tensor in first.items():
        if name.startswith("backbone."):
            torch.testing.assert_close(second[name], tensor, rtol=0, atol=1e-6)


def test_init_starts_from_a_file_and_refuses_another_network(pretrain, tmp_path):
    assert pretrain(tmp_path / "first", *STEPS).code == 0
    tensors = Run.open(tmp_path / "first").checkpoint().tensors["teacher"]
    backbone = {k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")}
    save_weights(tmp_path / "w.safetensors", backbone)
    assert pretrain(tmp_path / "second", *STEPS, "--init", str(tmp_path / "w.safetensors")).code == 0
    refused = pretrain(
        tmp_path / "third", *STEPS, "--init", str(tmp_path / "w.safetensors"), "--model", "vit_tiny"
    )
    assert refused.code == 3
    assert "weights are vit_micro/16 in 3 bands" in refused.errors
    assert not (tmp_path / "third").exists(), "nothing is written before the weights fit"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (None, "is not a whole safetensors file"),
        ((3, 8), "vit_micro/8 in 3 bands; the network is"),
        ((4, 16), "vit_micro/16 in 4 bands; the network is"),
    ],
)
def test_weights_that_cannot_be_used_leave_no_run(pretrain, tmp_path, tensors, said):
    path, out = tmp_path / "w.safetensors", tmp_path / "run"
    if tensors is None:
        path.write_bytes(b"\xff" * 7 + b"\x00{broken")
    else:
        bands, patch = tensors
        shape = shape_of("vit_micro", patch, in_channels=bands, image_px=32)
        save_weights(path, VisionTransformer(shape).state_dict())
    answer = pretrain(out, *STEPS, "--init", str(path))
    assert (answer.code, out.exists()) == (3, False)
    assert said in answer.errors


def test_the_command_is_kept_as_a_user_would_type_it(packed, pretrain, tmp_path):
    assert pretrain(tmp_path / "typed", *STEPS, "--seed=7").code == 0
    text = (tmp_path / "typed" / "command.txt").read_text(encoding="utf-8")
    assert text.startswith(f"swath pretrain {packed} --out {tmp_path / 'typed'} --model vit_micro")
    words = text.split()
    assert words[words.index("--seed") :][:2] == ["--seed", "7"]
    assert "--json" not in words
    settings = {"model": "vit_micro", "patch_size": 16, "batch_size": 16, "steps": 1, "monitor_every": 0}
    swath.pretrain(packed, out=tmp_path / "called", **settings)
    assert (tmp_path / "called" / "command.txt").read_text(encoding="utf-8") == (
        f"swath pretrain {packed} --out {tmp_path / 'called'} --model vit_micro --patch-size 16 --steps 1 "
        "--batch-size 16 --monitor-every 0\n"
    )


def test_the_contrastive_method_is_one_word_away(packed, tmp_path, capsys):
    flags = ("--model", "vit_micro", "--patch-size", "16", "--batch-size", "16", "--method", "simclr")
    assert main(["pretrain", str(packed), "--out", str(tmp_path / "simclr"), *flags, *STEPS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["method"] == "simclr"
    assert "hit_rate" in Run.open(tmp_path / "simclr").metrics()[-1]


def test_the_check_of_learning_takes_tiles_that_are_no_whole_patches(packed):
    from swath.data.store import TileStore
    from swath.models.vit import VisionTransformer, shape_of
    from swath.pretraining.monitor import KnnCheck, MonitoredTiles

    network = VisionTransformer(shape_of("vit_micro", 5, in_channels=3, image_px=30))
    check = KnnCheck(MonitoredTiles(TileStore(packed), seed=0, device=torch.device("cpu")))
    ((name, value),) = check.measure(network)
    assert name == "knn_map"
    assert 0 < value <= 1


def test_the_check_of_learning_is_logged_and_reads_no_test_tile(packed, tiny, tmp_path, capsys):
    from swath.data.store import TileStore
    from swath.pretraining.monitor import monitored_rows

    store = TileStore(packed)
    bank, queries = monitored_rows(store, seed=0)
    assert set(store.splits()[[*bank, *queries]]) == {"train"}
    assert not set(bank) & set(queries)
    flags = [*tiny[: tiny.index("--monitor-every")], "--monitor-every", "2", *STEPS]
    assert main(["pretrain", str(packed), "--out", str(tmp_path / "run"), *flags, "--json"]) == 0
    json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {row["step"]: row for row in Run.open(tmp_path / "run").metrics()}
    assert [step for step, row in rows.items() if "knn_map" in row] == [2, 3]
    assert 0 < rows[3]["knn_map"] <= 1
    assert 0 < rows[3]["linear_map"] <= 1
    best = max(rows[step]["knn_map"] for step in (2, 3))
    kept = {
        path.name: json.loads((path / "state.json").read_text())
        for path in (tmp_path / "run" / "checkpoints").iterdir()
    }
    assert best in {state["score"] for state in kept.values()}, "a check that beats all before is saved"


def test_the_python_function_returns_the_run(packed, tmp_path):
    run = swath.pretrain(
        packed,
        out=tmp_path / "run",
        model="vit_micro",
        patch_size=16,
        batch_size=16,
        steps=2,
        monitor_every=0,
    )
    assert isinstance(run, swath.Run)
    assert run.summary["steps"] == 2


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_dry_run_of_few_steps_measures_them_all_the_same(pretrain, tmp_path, steps):
    answer = pretrain(tmp_path / "dry", "--steps", str(steps), "--dry-run")
    assert answer.json["images_per_s"] > 1
    assert answer.json["minutes"] < 1


def test_a_checkpoint_holds_the_contract_of_its_input(packed, tiny, tmp_path, capsys):
    from swath.data.store import TileStore
    from swath.runtime.run import Run

    assert main(["pretrain", str(packed), "--out", str(tmp_path / "run"), *tiny, *STEPS]) == 0
    capsys.readouterr()
    store, state = TileStore(packed), Run.open(tmp_path / "run").checkpoint().state
    assert state["tiles"] == json.loads(json.dumps(store.format.to_json()))
    assert state["vocabulary"] == list(store.vocabulary)
    assert state["split_digest"] == store.split_digest
    assert state["pack_digest"] == store.digest
