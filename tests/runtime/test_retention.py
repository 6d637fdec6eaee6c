"""Which checkpoints stay on the disk."""

import torch

from swath.runtime.checkpoint import load_newest, save_checkpoint
from swath.runtime.retention import discard_after


def save(folder, step, **state):
    tensors = {"student": {"w": torch.full((4,), float(step))}}
    return save_checkpoint(folder, step=step, tensors=tensors, state=state)


def steps_in(folder):
    return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


def test_the_last_good_one_stays_however_many_bad_ones_follow(tmp_path):
    save(tmp_path, 1, good=True)
    save(tmp_path, 2, good=True)
    for step in (3, 4, 5, 6):
        save(tmp_path, step, good=False)
    assert steps_in(tmp_path) == [2, 5, 6]
    assert load_newest(tmp_path).step == 6
    assert load_newest(tmp_path, good=True).step == 2
    save(tmp_path, 7, good=True)
    assert steps_in(tmp_path) == [6, 7], "a newer good one takes its place"


def test_the_best_one_stays_and_of_equals_the_newest(tmp_path):
    for step, score in ((1, 0.5), (2, 0.9), (3, 0.9), (4, 0.7), (5, None), (6, 0.0)):
        save(tmp_path, step, score=score)
    assert steps_in(tmp_path) == [3, 5, 6]


def test_a_score_of_nought_is_a_score(tmp_path):
    for step, score in ((1, -0.5), (2, 0.0), (3, -0.5), (4, -0.1)):
        save(tmp_path, step, score=score)
    assert steps_in(tmp_path) == [2, 3, 4]


def test_a_state_that_cannot_be_read_is_not_good(tmp_path):
    save(tmp_path, 1)
    for text in ("{", "[1]"):
        (save(tmp_path, 2) / "state.json").write_text(text)
        assert load_newest(tmp_path, repair=False, good=True).step == 1


def test_what_came_after_a_step_can_be_discarded(tmp_path):
    for step in (3, 6, 9):
        save(tmp_path, step)
    discard_after(tmp_path, 6)
    assert steps_in(tmp_path) == [6]
