"""Stage: run + tiles with masks -> what the frozen tokens are worth for saying a class a pixel.

A head is fitted on the tokens of the split train and tested on the split test, beside the same head on the
tokens of the untrained network and on statistics of the same cells.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.config import ProbeConfig
from swath.data.store import TileStore
from swath.features.backbone import open_backbone, untrained
from swath.features.token_maps import BackboneTokens, CellStatistics, TokenMaps
from swath.features.unseen import check_unseen
from swath.files import check_output, write_json
from swath.location import Location
from swath.models.dense_head import DenseHead
from swath.models.weights import save_weights
from swath.results import Result
from swath.runtime.run import Run
from swath.scores.intervals import Resampling
from swath.scores.segmentation import Counts
from swath.transfer.baselines import IMAGE_STATISTICS, PRETRAINED, UNTRAINED
from swath.transfer.segmentation.examples import masked_tiles
from swath.transfer.segmentation.fit import fit_head
from swath.transfer.segmentation.judge import judge_masks
from swath.transfer.segmentation.picture import save_picture
from swath.transfer.segmentation.predict import OVERLAP, predicted, tested

BASELINES = (IMAGE_STATISTICS, UNTRAINED)
_NAME = "probe-segmentation.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentationResult(Result):
    """Scores on the masks of the test tiles as [value, low, high], a 95 % interval.

    `per_class` has the IoU and the share of the test pixels of each class; `left_out` has classes without a
    test pixel, which are in no mean.
    """

    task: str
    probe: str
    n_train: int
    n_test: int
    miou: list[float]
    pixel_accuracy: list[float]
    per_class: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    gain_over_untrained: dict[str, list[float]]
    left_out: list[str]
    settings: dict[str, Any]
    digests: dict[str, str]
    out: Location
    picture: Location

    def lines(self) -> list[str]:
        """The table for a reader."""
        rows = {**self.baselines, PRETRAINED: self.to_json()}
        gain = self.gain_over_untrained["miou"]
        left_out = ", ".join(self.left_out)
        classes = ", ".join(f"{name} {row['iou']:.3f}" for name, row in self.per_class.items())
        return [
            f"segmentation probe, {self.probe} head, {self.n_train:,} tiles, {self.n_test:,} to test",
            f"  {'[95 % interval]':18} {'mIoU':21} pixel accuracy",
            *(
                f"  {name:18} {_words(row['miou']):21} {_words(row['pixel_accuracy'])}"
                for name, row in rows.items()
            ),
            f"  gain over the {UNTRAINED}, paired: {gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}] mIoU",
            f"  IoU by class: {classes}",
            *([f"  left out (no test pixel): {left_out}"] if left_out else []),
            f"  {self.out}",
            f"  {self.picture}",
        ]


def run(config: ProbeConfig, folder: Path) -> SegmentationResult:
    """Write RUN/probe-segmentation.json, the head (.safetensors) and a picture (.png) beside it; `folder` is
    that of the run, or a copy.

    Raises:
        UsageError: `run` is not a run, or the tiles have no masks or no split `test`.
        DataError: the tiles do not fit the run or are damaged, or the masks hold nothing to learn or score.
        MachineError: the disk is full.
    """
    store = TileStore(config.tiles)
    tiles = masked_tiles(store)
    opened = Run.open(folder)
    backbone = open_backbone(opened, whose=config.weights)
    backbone.check_fits(store.format, where=str(store.path))
    check_unseen(opened, backbone, store)
    out, address = config.out or folder / _NAME, config.out or config.run / _NAME
    check_output(out, begins=b"{")
    contestants: dict[str, TokenMaps] = {
        IMAGE_STATISTICS: CellStatistics(backbone),
        UNTRAINED: BackboneTokens(untrained(backbone)),
        PRETRAINED: BackboneTokens(backbone),
    }
    tables: dict[str, Counts] = {}
    for name, maps in contestants.items():
        log.info("segmentation probe on %s", name)
        head, settings = fit_head(config.head, maps, tiles, seed=config.seed)
        tables[name] = tested(name, head, maps, tiles, tiles.test)
    by, groups = tiles.groups(tiles.test, at_least=2)
    resampling = Resampling.of_groups(groups, rounds=config.rounds, seed=config.seed)
    judged = {name: judge_masks(counts, resampling, tiles.vocabulary) for name, counts in tables.items()}
    result = SegmentationResult(
        task="segmentation",
        probe=config.head,
        n_train=len(tiles.train),
        n_test=len(tiles.test),
        **judged[PRETRAINED].to_json(),
        baselines={name: judged[name].to_json() for name in BASELINES},
        gain_over_untrained=judged[PRETRAINED].gain_over(judged[UNTRAINED]),
        left_out=judged[PRETRAINED].left_out,
        settings=settings
        | {"weights": config.weights, "window_px": contestants[PRETRAINED].window_px, "overlap": OVERLAP}
        | {"by": by, "groups": resampling.num_groups, "rounds": config.rounds, "seed": config.seed},
        digests={
            "checkpoint": backbone.weights.checkpoint,
            "pack": store.digest,
            "index": store.index_digest,
            "split": store.split_digest,
        },
        out=address,
        picture=address.with_name(f"{address.stem}.png"),
    )
    _save_head(out.with_suffix(".safetensors"), head, result, tiles.vocabulary)
    save_picture(
        out.with_suffix(".png"), tiles, lambda images: predicted(images, head, contestants[PRETRAINED])
    )
    write_json(out, result.to_json())
    return result


def _save_head(path: Path, head: DenseHead, result: SegmentationResult, vocabulary: tuple[str, ...]) -> None:
    """The tensors of the head, with what one must know to use them."""
    described = {
        "class_names": json.dumps(vocabulary),
        "task": "segmentation",
        "head": result.probe,
        "window_px": str(result.settings["window_px"]),
        **result.digests,
    }
    save_weights(path, dict(head.state_dict()), described)


def _words(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
