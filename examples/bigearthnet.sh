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
set -- "$RUN/probe-dino.json"
if [ -n "$WEIGHTS" ]; then
    [ -e "$RUN-imagenet" ] || \
    swath import "$WEIGHTS" --tiles "$DATA/tiles.lance" --out "$RUN-imagenet"
    swath probe "$RUN-imagenet" "$DATA/tiles.lance" --recipe dino
    set -- "$RUN-imagenet/probe-dino.json" "$@"
    swath ladder "$DATA/tiles.lance" --runs "$RUN" --weights "$WEIGHTS" --out "$RUN/ladder"
else
    swath ladder "$DATA/tiles.lance" --runs "$RUN" --out "$RUN/ladder"
fi
swath report "$RUN" --ladder "$RUN/ladder/ladder.json"

# The table of two rows that was published, where WEIGHTS are given; else the second row alone.
python - "$@" <<'PYTHON'
import json
import sys

print("average precision on the official test split, linear probe (50 epochs) on frozen features")
print(f"  {'':22} {'macro':22} {'micro':22} published")
rows = [("weights of ImageNet", "0.685"), ("pretrained here", "0.732")]
for path, (name, published) in zip(sys.argv[1:], rows[-len(sys.argv[1:]) :]):
    with open(path, encoding="utf-8") as stream:
        found = json.load(stream)
    cells = [f"{v:.3f} [{low:.3f}, {high:.3f}]" for v, low, high in (found["map_macro"], found["map_micro"])]
    print(f"  {name:22} {cells[0]:22} {cells[1]:22} {published}")
print("  The averaging of the published numbers is not stated: neither column is known to be the same measure.")
PYTHON
