import json

import pytest
import torch

from swath.errors import DataError, MachineError, UsageError
from swath.runtime.checkpoint import save_checkpoint, state_hash
from swath.runtime.run import Run, check_same, claim, holds_run
from swath.runtime.runlog import MetricsLog

CONFIG = {
    "model": "vit_small",
    "lr": 5e-4,
    "bands": ["B04", "B03"],
    "vit": {"depth": 12},
    "init": None,
    "text": "1e-3",
}


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "runs" / "a", CONFIG, command="swath pretrain tiles.lance --out runs/a")


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_opens_as_it_was_made(run):
    found = Run.open(run.path)
    assert found.config == run.config == CONFIG
    assert (run.path / "command.txt").read_text() == "swath pretrain tiles.lance --out runs/a\n"
    assert json.loads((run.path / "env.json").read_text()) == found.environment()
    assert found.metrics() == []
    assert holds_run(run.path)


def test_tuples_and_paths_are_kept_as_lists_and_text(tmp_path):
    run = Run.create(tmp_path / "a", {"bands": ("B04",), "tiles": tmp_path}, command="x")
    assert run.config == {"bands": ["B04"], "tiles": str(tmp_path)} == Run.open(run.path).config


def test_the_summary_is_where_the_newest_checkpoint_stands(run):
    log = MetricsLog(run.path / "metrics.jsonl")
    for step, rate in ((1, 5.0), (2, 100.0), (3, 110.0)):
        log.append({"step": step, "loss": 4.0 - step, "images_per_s": rate, "wait_share": 0.02})
    tensors = {"student": {"w": torch.arange(4.0)}}
    save_checkpoint(
        run.checkpoints,
        step=3,
        tensors=tensors,
        state={"samples": 192, "method": "dino", "vocabulary": ["a", "b"]},
    )
    assert run.to_json() == {
        "run": str(run.path), "method": "dino", "steps": 3, "samples": 192, "loss": 1.0,
        "images_per_s": 100.0, "data_wait_share": 0.02, "classes": 2, "state_hash": state_hash(tensors),
    }  # fmt: skip
    assert run.lines() == [
        f"{run.path}: 3 steps, 192 samples, loss 1.0000, 100 images/s (2.0% waiting for data)"
    ]
    assert run.next_command is None, "there are no tiles in its settings"
    known = Run(run.path, CONFIG | {"tiles": "t.lance"})
    assert known.next_command == f"swath probe {run.path} t.lance"


def test_a_run_without_checkpoint_says_so(run):
    with pytest.raises(DataError, match="has no checkpoint yet"):
        run.checkpoint()


def test_nothing_or_an_empty_folder_or_a_killed_start_can_become_a_run(tmp_path):
    path = tmp_path / "a"
    assert not holds_run(path)
    path.mkdir()
    assert not holds_run(path)
    (path / ".lock").write_text("{}")
    (path / ".config.yaml.77.tmp").write_text("swath_")
    (path / "checkpoints").mkdir()
    assert not holds_run(path)
    with claim(path) as exists:
        assert not exists
        assert Run.create(path, CONFIG, command="x").config == CONFIG
    with claim(path) as exists:
        assert exists


@pytest.mark.parametrize(
    "files",
    [{"notes.txt": "mine"}, {"config.yaml": "lr: 1\n"}, {"checkpoints/w.pth": "x"}, {".git/config": "x"}],
)
def test_a_folder_with_something_else_is_refused_untouched(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = everything_in(tmp_path)
    with pytest.raises(UsageError, match=r"is not a run and not empty \(it holds .*nothing was touched"):
        Run.create(tmp_path, CONFIG, command="x")
    with pytest.raises(UsageError, match="is not a run"), claim(tmp_path):
        pytest.fail("claimed what belongs to somebody")
    with pytest.raises(UsageError, match="is not a run"):
        Run.open(tmp_path)
    assert everything_in(tmp_path) == before


def test_out_may_not_be_a_file_the_root_a_dead_link_or_another_run(tmp_path, run):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for path, message in (
        (tmp_path / "file", "is a file, not a folder; choose another --out"),
        (tmp_path / "link", "is a link to nothing"),
        (tmp_path.__class__("/"), "is not a run and not empty"),
        (run.path, "holds a run already; choose another --out"),
    ):
        with pytest.raises(UsageError, match=message):
            Run.create(path, CONFIG, command="x")


def test_what_is_opened_and_is_no_run_is_told_how_to_start_one(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("lr: 1\n")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("missing", "file", "other", "link"):
        path = tmp_path / name
        with pytest.raises(UsageError) as caught:
            Run.open(path)
        said = "is not a run" if path.exists() else "does not exist. Expected a run"
        assert str(caught.value) == f"{path} {said}, as made by: swath pretrain TILES --out runs/first"


def test_a_folder_made_for_a_start_that_failed_goes_with_it(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("new", "mine"):
        with pytest.raises(DataError), claim(tmp_path / name):
            raise DataError("the weights do not fit")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_flat_config_is_recognised_as_a_run(tmp_path):
    run = Run.create(tmp_path / "a", {"lr": 1e-3, "text": "x"}, command="x")
    assert Run.open(run.path).config == {"lr": 1e-3, "text": "x"}


def test_a_read_only_place_is_a_machine_error(tmp_path, monkeypatch):
    def refuse(_path, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(MachineError, match=r"a: not writable \(Read-only file system\)"):
        Run.create(tmp_path / "a", CONFIG, command="x")


def test_a_run_that_cannot_be_started_whole_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise MachineError("no space left")

    monkeypatch.setattr("swath.runtime.run.write_json", full)
    with pytest.raises(MachineError), claim(tmp_path / "a"):
        Run.create(tmp_path / "a", CONFIG, command="x")
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_layout_is_refused_by_name(run):
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("swath_run: 1", "swath_run: 2"))
    with pytest.raises(DataError, match="is a run of layout 2; this swath reads layout 1"):
        Run.open(run.path)


def test_equal_settings_pass_whatever_their_types(run):
    asked = {**CONFIG, "bands": ("B04", "B03"), "lr": 0.0005}
    assert check_same(run.config, asked, run=run.path) == {}


def test_other_settings_are_refused_with_every_difference(run):
    asked = {**CONFIG, "lr": 0.001, "model": "vit_tiny", "vit": {"depth": 6}, "bands": ("B04",), "seed": 1}
    del asked["text"]
    with pytest.raises(UsageError) as caught:
        check_same(run.config, asked, run=run.path)
    assert str(caught.value) == (
        f"{run.path} was started with other settings: model: vit_small -> vit_tiny, lr: 0.0005 -> 0.001, "
        "bands: B04,B03 -> B04, vit.depth: 12 -> 6, text: 1e-3 -> (not set), seed: (not set) -> 1; "
        "repeat the old ones or choose another --out"
    )


def test_safe_settings_may_change_and_are_returned(run):
    asked = {**CONFIG, "init": "w.safetensors"}
    assert check_same(run.config, asked, run=run.path, safe_keys={"init"}) == {
        "init": (None, "w.safetensors")
    }
    with pytest.raises(UsageError, match=r"settings: lr: 0.0005 -> 1.0; repeat"):
        check_same(run.config, {**asked, "lr": 1.0}, run=run.path, safe_keys={"init"})


def test_the_sections_of_a_pretraining_run_are_named_and_others_refused(tmp_path, run):
    whole = Run.create(tmp_path / "b", {"asked": {"seed": 0}, "recipe": {"steps": 9}}, command="x")
    assert (Run.open(whole.path).asked, whole.recipe) == ({"seed": 0}, {"steps": 9})
    with pytest.raises(
        DataError, match=r"config\.yaml has no section recipe; it was not written by swath pretrain"
    ):
        _ = run.recipe
