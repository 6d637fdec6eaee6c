"""lightly-train's DINO on a folder of pictures: prints its tiles a second. Run by the Python that has it.

    PYTHON benchmarks/peer_lightly.py FOLDER STEPS WARM_STEPS

ViT-S/16, out_dim 65536, batch 8, 2 views of 224 px and 8 of 96 px, bf16-mixed, on the processor: by its
public `pretrain`, with its defaults for all else. The first WARM_STEPS of STEPS are not counted.
"""

import importlib
import sys
import tempfile
import time
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

BATCH = 8


def main(pictures: Path, steps: int, warm_steps: int) -> float:
    ends: list[float] = []
    register_optimizer_step_post_hook(lambda *_: ends.append(time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        importlib.import_module("lightly_train").pretrain(
            out=Path(folder) / "run",
            data=pictures,
            model="timm/vit_small_patch16_224",
            method="dino",
            method_args={"output_dim": 65_536},
            transform_args={"image_size": (224, 224), "local_view": {"num_views": 8, "view_size": (96, 96)}},
            batch_size=BATCH,
            num_workers=2,
            accelerator="cpu",
            devices=1,
            precision="bf16-mixed",
            epochs=100,
            trainer_args={"max_steps": steps},
        )
    return BATCH * (len(ends) - warm_steps) / (ends[-1] - ends[warm_steps - 1])


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
