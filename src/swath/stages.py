"""The stages as functions: the same names, settings and errors as the command line.

`**settings` are the fields of the model in `swath.config` that carries the stage's name; unknown names raise
UsageError.
"""

import shlex
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from swath.arguments import command_line, validate
from swath.config import (
    AuditConfig,
    BundleConfig,
    DescribeConfig,
    DownloadConfig,
    EmbedConfig,
    ExploreConfig,
    ExportConfig,
    FinetuneConfig,
    ImportConfig,
    IndexConfig,
    LadderConfig,
    PackConfig,
    PredictConfig,
    PretrainConfig,
    ProbeConfig,
    ReplayConfig,
    ReportConfig,
    SearchConfig,
    SplitConfig,
    VerifyConfig,
)

if TYPE_CHECKING:
    from swath.prepare.audit import AuditResult
    from swath.prepare.describe import DescribeResult
    from swath.prepare.download import DownloadResult
    from swath.prepare.index import IndexResult
    from swath.prepare.packed import PackResult
    from swath.prepare.split import SplitResult
    from swath.pretraining.estimate import Estimate
    from swath.pretraining.export_weights import ExportResult
    from swath.pretraining.import_weights import ImportResult
    from swath.pretraining.replay import Replay
    from swath.runtime.run import Run
    from swath.serve.bundle.model import Model
    from swath.serve.bundle.stage import BundleResult
    from swath.serve.bundle.verify import VerifyResult
    from swath.serve.explore import ExploreResult
    from swath.serve.predict.stage import PredictResult
    from swath.serve.search import DuplicatesResult, SearchResult
    from swath.transfer.embed import EmbedResult
    from swath.transfer.finetune import FinetuneResult
    from swath.transfer.ladder_result import LadderResult
    from swath.transfer.probe_result import ProbeResult
    from swath.transfer.report import ReportResult
    from swath.transfer.segmentation import SegmentationResult

Location = str | PathLike[str]


def download(source: str, *, out: Location, **settings: Any) -> "DownloadResult":
    """Fetch the files of a published data set to the folder `out`; settings as DownloadConfig."""
    from swath.prepare.download import run

    return run(validate(DownloadConfig, {"source": source, "out": out, **settings}))


def index(source: Location, *, out: Location, **settings: Any) -> "IndexResult":
    """List the tiles of `source` in the GeoParquet file `out`; settings as IndexConfig."""
    from swath.prepare.index import run

    return run(validate(IndexConfig, {"source": source, "out": out, **settings}))


def split(index: Location, *, out: Location, **settings: Any) -> "SplitResult":
    """Write `index` again with a split column; settings as SplitConfig."""
    from swath.prepare.split import run

    return run(validate(SplitConfig, {"index": index, "out": out, **settings}))


def audit(index: Location, **settings: Any) -> "AuditResult":
    """Compare test and val of an index or pack with train on the ground; settings as AuditConfig."""
    from swath.prepare.audit import run

    return run(validate(AuditConfig, {"index": index, **settings}))


def describe(index: Location, **settings: Any) -> "DescribeResult":
    """Count the tiles of an index or pack and write a page about them; settings as DescribeConfig."""
    from swath.prepare.describe import run

    return run(validate(DescribeConfig, {"index": index, **settings}))


def pack(index: Location, *, out: Location, **settings: Any) -> "PackResult":
    """Copy the pixels of `index` into the Lance dataset `out`; settings as PackConfig."""
    from swath.prepare.pack import run

    return run(validate(PackConfig, {"index": index, "out": out, **settings}))


def pretrain(tiles: Location, *, out: Location, **settings: Any) -> "Run | Estimate":
    """Train on `tiles` in the run folder `out`, or go on with it; settings as PretrainConfig. An Estimate for
    dry_run.
    """
    from swath.launch import torchrun
    from swath.pretraining.stage import run
    from swath.runtime.mirror import work_folder
    from swath.runtime.run import Run

    config = validate(PretrainConfig, {"tiles": tiles, "out": out, **settings})
    if config.nproc is not None and torchrun.is_needed(config.nproc):
        torchrun.run(config.nproc, shlex.split(command_line("pretrain", config))[1:])
        return Run.open(work_folder(config.out))
    return run(config)


def replay(run: Location, **settings: Any) -> "Replay":
    """Take a step of a run again that was not finite, and say where; settings as ReplayConfig."""
    from swath.pretraining.replay import run as stage

    return stage(validate(ReplayConfig, {"run": run, **settings}))


def import_weights(file: Location, *, out: Location, **settings: Any) -> "ImportResult":
    """Make the run `out` of weights of another program (`swath import`); settings as ImportConfig."""
    from swath.pretraining.import_weights import run

    return run(validate(ImportConfig, {"file": file, "out": out, **settings}))


def export(run: Location, *, out: Location, **settings: Any) -> "ExportResult":
    """Write the weights of a run to the file `out` for another program; settings as ExportConfig."""
    from swath.pretraining.export_weights import run as stage

    return stage(validate(ExportConfig, {"run": run, "out": out, **settings}))


def embed(run: Location, tiles: Location, *, out: Location, **settings: Any) -> "EmbedResult":
    """Write the frozen features (D,) of every tile to the GeoParquet file `out`; settings as EmbedConfig."""
    from swath.transfer.embed import run as stage

    return stage(validate(EmbedConfig, {"run": run, "tiles": tiles, "out": out, **settings}))


def probe(run: Location, tiles: Location, **settings: Any) -> "ProbeResult | SegmentationResult":
    """Score the frozen features on the test split, beside the baselines; settings as ProbeConfig."""
    from swath.transfer.probe import run as stage

    return stage(validate(ProbeConfig, {"run": run, "tiles": tiles, **settings}))


def ladder(tiles: Location, **settings: Any) -> "LadderResult":
    """Judge baselines, given weights and runs side by side; settings as LadderConfig."""
    from swath.transfer.ladder import run as stage

    return stage(validate(LadderConfig, {"tiles": tiles, **settings}))


def finetune(run: Location, tiles: Location, *, out: Location, **settings: Any) -> "FinetuneResult":
    """Train the network of `run` on labels or masks in the run folder `out`; settings as FinetuneConfig."""
    from swath.transfer.finetune import run as stage

    return stage(validate(FinetuneConfig, {"run": run, "tiles": tiles, "out": out, **settings}))


def explore(run: Location, **settings: Any) -> "ExploreResult":
    """Serve a page about the archive of a run until Ctrl-C or SIGTERM; settings as ExploreConfig."""
    from swath.serve.explore import run as stage

    return stage(validate(ExploreConfig, {"run": run, **settings}))


def report(run: Location, **settings: Any) -> "ReportResult":
    """Write the report page of a run; settings as ReportConfig."""
    from swath.transfer.report import run as stage

    return stage(validate(ReportConfig, {"run": run, **settings}))


def bundle(run: Location, *, out: Location, **settings: Any) -> "BundleResult":
    """Make the folder `out` of a run, its head and its preprocessing contract; settings as BundleConfig."""
    from swath.serve.bundle.stage import run as stage

    return stage(validate(BundleConfig, {"run": run, "out": out, **settings}))


def verify(path: Location) -> "VerifyResult":
    """Compare every file of a bundle or run with the hashes written beside it."""
    from swath.serve.bundle.verify import run

    return run(validate(VerifyConfig, {"path": path}))


def predict(
    bundle: Location, scenes: Location | Sequence[Location], *, out: Location, **settings: Any
) -> "PredictResult":
    """Write maps and a table of each scene below the folder `out`; settings as PredictConfig.

    A scene that cannot be read is in `bad` of the result; the others are done.
    """
    from swath.serve.predict.stage import run

    return run(validate(PredictConfig, {"bundle": bundle, "scenes": scenes, "out": out, **settings}))


def load(path: Location) -> "Model":
    """The network and head of a bundle: `model.embed(tiles)`, `model.predict(tiles)`."""
    from swath.serve.bundle.model import load as opened

    return opened(path)


def search(features: Location, **settings: Any) -> "SearchResult | DuplicatesResult":
    """Find the tiles of `features` most like one (`like`), or near duplicates; settings as SearchConfig."""
    from swath.serve.search import run

    return run(validate(SearchConfig, {"features": features, **settings}))
