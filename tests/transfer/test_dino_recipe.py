"""The linear probe of facebookresearch/dino: its optimiser, its schedule, and what it answers."""

import math
from functools import partial

import pytest
import torch
from test_probe import probe

from swath.transfer.dino_recipe import by_dino_recipe


def test_the_recipe_of_dino_trains_on_crops_and_answers_for_whole_tiles(make_pack, make_run, monkeypatch):
    monkeypatch.setattr("swath.transfer.probe.by_dino_recipe", partial(by_dino_recipe, epochs=3))
    made = make_run()
    result = probe(made, make_pack(), recipe="dino")
    assert result.settings["recipe"] == "dino"
    assert result.details["features"] == "class token of each of the last 2 blocks"
    assert list(result.baselines) == ["untrained ViT"]
    assert result.out.name == "probe-dino.json"
    assert (made.path / "probe-dino-head.safetensors").exists()
    assert probe(made, make_pack("again.lance"), recipe="dino").map_macro == result.map_macro


def test_the_recipe_of_dino_has_the_optimiser_and_the_schedule_of_eval_linear(
    make_pack, make_run, monkeypatch
):
    rates, kinds = [], set()
    step = torch.optim.SGD.step

    def watched(self, *given):
        (group,) = self.param_groups
        rates.append(group["lr"])
        kinds.add((group["momentum"], group["weight_decay"], group["nesterov"], group["dampening"]))
        return step(self, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    found = probe(make_run(), make_pack(), recipe="dino").settings
    assert (found["epochs"], found["batch_size"], found["lr"]) == (50, 256, 0.001)
    assert kinds == {(0.9, 0, False, 0)}
    once = [0.001 * (1 + math.cos(math.pi * epoch / 50)) / 2 for epoch in range(50)]
    assert rates == pytest.approx(once * 2)  # one batch an epoch; untrained, then the run
