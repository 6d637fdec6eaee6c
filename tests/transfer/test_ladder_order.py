"""Where labels depend on texture alone, the ladder orders statistics < untrained < pretrained."""

import numpy as np
import pyarrow as pa
import pytest

import swath
from swath.data.bands import BandGroup, TileFormat
from swath.data.writer import TileWriter

PERIODS_PX = {"fine": 3.0, "medium": 4.5, "coarse": 7.0}
BANDS, SIZE_PX = ("red", "green", "blue"), 32


def stripes(rng: np.random.Generator, period_px: float) -> np.ndarray:
    """Turned and shifted at random; level, contrast and noise say nothing about the period."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    angle = rng.uniform(0, np.pi)
    wave = np.sign(
        np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period_px + rng.uniform(0, 7))
    )
    level, noise = rng.uniform(70, 180, (3, 1, 1)), rng.normal(0, 40, (3, SIZE_PX, SIZE_PX))
    return (level + rng.uniform(20, 50) * wave + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def textures(tmp_path):
    """900 packed tiles, 540 to train."""
    rng = np.random.default_rng(0)
    names = [list(PERIODS_PX)[i % 3] for i in range(900)]
    group = BandGroup(BANDS, SIZE_PX, "uint8")
    tiles = TileFormat(BANDS, (group,), None, (0.0,) * 3, (255.0,) * 3, mean=(0.5,) * 3, std=(0.25,) * 3)
    columns = pa.table(
        {
            "id": [str(i) for i in range(900)],
            "split": ["test" if i % 5 < 2 else "train" for i in range(900)],
            "labels": [[name] for name in names],
        }
    )
    with TileWriter(tmp_path / "tiles.lance", groups=(group,), info={}) as writer:
        writer.append(columns, [np.stack([stripes(rng, PERIODS_PX[name]) for name in names])])
        writer.finish(tiles, vocabulary=tuple(PERIODS_PX), task="class", index_digest="feed")
    return tmp_path / "tiles.lance"


def test_pretraining_is_worth_more_than_an_untrained_network_and_that_more_than_statistics(
    textures, tmp_path
):
    run = swath.pretrain(
        textures, out=tmp_path / "run", method="simclr", model="vit_micro", patch_size=8, batch_size=64,
        steps=130, lr=3e-3, monitor_every=0, preset="demo",
    )  # fmt: skip
    found = swath.ladder(
        textures, runs=[run.path], probes=["linear"], label_fraction=[1.0], rounds=200
    ).to_json()
    value = {row["rung"]: row["map_macro"] for row in found["summary"]}
    assert value["image statistics"][0] < value["untrained ViT"][1]
    assert value["untrained ViT"][0] < value["run"][0]
    gain = found["summary"][-1]["gain_over_untrained"]["map_macro"]
    assert gain[1] > 0
