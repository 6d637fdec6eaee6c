"""The training step as a whole: bfloat16 beside float32, and what a GPU must not wait for."""

import numpy as np
import pytest
import torch

from swath.data.bands import BandGroup, TileFormat
from swath.data.loader import Batch
from swath.pretraining.gradient import Step
from swath.pretraining.optimizer import clip_each
from swath.pretraining.trainer import Trainer
from swath.runtime.ranks import Ranks

TILES, STEPS = 16, 12
RGB = TileFormat(
    bands=("R", "G", "B"),
    groups=(BandGroup(bands=("R", "G", "B"), size_px=16, dtype="uint8"),),
    gsd_m=None,
    low=(0.0,) * 3,
    high=(255.0,) * 3,
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)


def _batch(step):
    """Tiles of one colour and some noise each, the same for a step whoever asks."""
    generator = torch.Generator().manual_seed(step)
    colours = torch.randint(40, 215, (TILES, 3, 1, 1), generator=generator)
    noise = torch.randint(-40, 40, (TILES, 3, 16, 16), generator=generator)
    rows, epochs = np.arange(TILES), np.full(TILES, step, dtype=np.int64)
    return Batch(rows, epochs, [(colours + noise).to(torch.uint8)], rows, epochs, 0.0)


@pytest.mark.parametrize("method", ["dino", "simclr"])
def test_bfloat16_tracks_float32_over_some_steps(a_recipe, method):
    runs = {}
    for precision in ("float32", "bfloat16"):
        recipe = a_recipe(method=method, precision=precision, batch_size=TILES, steps=STEPS, drop_path=0.1)
        trainer = Trainer(recipe, RGB, ranks=Ranks())
        start = {name: p.clone() for name, p in trainer.method.student.state_dict().items()}
        losses = [trainer.step(_batch(step), step)["loss"] for step in range(STEPS)]
        moved = {name: p - start[name] for name, p in trainer.method.student.state_dict().items()}
        runs[precision] = losses, torch.cat([change.flatten() for change in moved.values()])
    (exact, way), (rounded, other_way) = runs["float32"], runs["bfloat16"]
    assert rounded == pytest.approx(exact, rel=0.02)
    assert rounded != exact, "bfloat16 was not used"
    assert torch.cosine_similarity(way, other_way, dim=0) > 0.9


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile looks at it, and hides it itself
def test_compiled_blocks_are_captured_whole_and_learn_the_same(a_recipe):
    recipe = a_recipe(method="dino", precision="float32", batch_size=TILES, drop_path=0.1)
    plain, other = (Trainer(recipe, RGB, ranks=Ranks()) for _ in range(2))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for network in (other.method.student, other.method.teacher):
        network.backbone.compile_blocks(backend="aot_eager")  # captured and differentiated, no C++ made
    for step in range(2):
        expected, row = (trainer.step(_batch(step), step) for trainer in (plain, other))
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    counted = torch._dynamo.utils.counters
    assert not counted["graph_break"]
    assert 0 < counted["stats"]["unique_graphs"] <= 8, "compiled anew again and again"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["dino", "simclr"])
def test_on_a_gpu_the_host_does_not_wait_for_gradient_and_update(a_recipe, method):
    recipe = a_recipe(method=method, precision="bfloat16", batch_size=TILES, drop_path=0.1)
    trainer = Trainer(recipe, RGB, ranks=Ranks(device=torch.device("cuda")))
    trainer.step(_batch(0), 0)  # kernels are chosen
    made = trainer._part(_batch(1), 1)
    step = Step(_batch(1), trainer.values_at(1), lambda _: made)
    torch.cuda.set_sync_debug_mode("error")
    try:
        outcome = trainer.gradient(step)
        clip_each(trainer.method.student.parameters(), 3.0)
        trainer.method.measures(outcome.loss, outcome.means)
        trainer.optimizer.step()
        trainer.method.commit(outcome.means, step.values)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert outcome.loss.isfinite()
