#!/bin/sh
# BigEarthNet v1 from nothing to a result: DINO pretraining on its images, and what that is worth on its labels.
#
#   DATA=/data sh examples/bigearthnet.sh
#
# Every line can be stopped and typed again. Disk: the archive, and 45 GB of packed tiles.
set -eu

DATA=${DATA:-data}
RUN=${RUN:-runs/bigearthnet}
BANDS=B04,B03,B02
GPUS=${GPUS:-8}
WEIGHTS=${WEIGHTS:-}  # dino_deitsmall16_pretrain.pth of facebookresearch/dino, where you have it: a rung of the ladder

# Prepare: the recommended 519,284 patches with the official split; pixels straight from the archive.
swath download bigearthnet:v1 --out "$DATA"
swath index bigearthnet:v1 --recommended --out "$DATA/index.parquet"
swath audit "$DATA/index.parquet"
swath split "$DATA/index.parquet" --by official --out "$DATA/split.parquet"
[ -e "$DATA/tiles.lance" ] || \
swath pack "$DATA/split.parquet" --pixels "$DATA/BigEarthNet-S2-v1.0.tar.gz" --bands "$BANDS" --out "$DATA/tiles.lance"

# Pretrain: ViT-S/16, 100 epochs, a process a GPU.
swath pretrain "$DATA/tiles.lance" --out "$RUN" --method dino --model vit_small --patch-size 16 --epochs 100 --nproc "$GPUS"

# DINO's own linear probe (50 epochs); the ladder from image statistics to this run; the report.
swath probe "$RUN" "$DATA/tiles.lance" --recipe dino
if [ -n "$WEIGHTS" ]; then
    swath ladder "$DATA/tiles.lance" --runs "$RUN" --weights "$WEIGHTS" --out "$RUN/ladder"
else
    swath ladder "$DATA/tiles.lance" --runs "$RUN" --out "$RUN/ladder"
fi
swath report "$RUN" --ladder "$RUN/ladder/ladder.json"

python - "$RUN/probe-dino.json" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as stream:
    found = json.load(stream)
print("average precision on the official test split, linear probe on frozen features")
for name in ("map_macro", "map_micro"):
    value, low, high = found[name]
    print(f"  {name:10} {value:.3f} [{low:.3f}, {high:.3f}]")
print("  published  0.685 and 0.732 (averaging not stated, so neither line above is known to be the same measure)")
PYTHON
