"""Stage: packed tiles -> run. Resolve the recipe, open or make the run folder, train, and say what came
out.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swath.arguments import command_line
from swath.augment.views import policy_of
from swath.config import PretrainConfig
from swath.data.bands import TileFormat, check_same_input
from swath.data.loader import Loader
from swath.data.store import TileStore
from swath.errors import UsageError
from swath.location import absolute
from swath.models.foreign import chosen_network
from swath.models.pickled import read_weights
from swath.models.weights import load_backbone
from swath.pretraining.estimate import Estimate, estimate, measure_rate
from swath.pretraining.loop import Loop
from swath.pretraining.monitor import Evaluator, checks, trainable_rows
from swath.pretraining.recipe import Archive, Recipe, resolve, steps_of
from swath.pretraining.saver import Saver
from swath.pretraining.state import restore
from swath.pretraining.trainer import Trainer, vit_shape
from swath.runtime.allocator import keep_freed_memory
from swath.runtime.checkpoint import Checkpoint, load_newest
from swath.runtime.device import choose_compiling, choose_device, choose_precision
from swath.runtime.mirror import mirrored, work_folder
from swath.runtime.ranks import Ranks, joined
from swath.runtime.run import Run, check_same, claim

# Settings that may differ when a run goes on: they change what is written, not what is learned.
FREE_TO_CHANGE = frozenset(
    {"nproc", "micro_batch", "backend", "save_every", "on_collapse", "dry_run", "out", "tiles"}
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """The opened tiles, what of them is trained on, and by which processes."""

    store: TileStore
    archive: Archive
    precision: str
    ranks: Ranks


def run(config: PretrainConfig) -> Run | Estimate:
    """Train from the start, or go on from the newest good checkpoint; returns the run (an estimate for
    dry_run).

    Raises:
        UsageError: the folder holds something else, or a run with other settings or tiles.
        DataError: the tiles or every checkpoint are damaged.
        TrainingError, MachineError, Stopped: as `Loop.go` says; what is saved stays saved.
    """
    with joined(choose_device(), backend=config.backend, run=work_folder(config.out)) as ranks:
        _check_shares(config, ranks)
        if ranks.device.type == "cpu":
            keep_freed_memory()
        tiles = _open(config, ranks)
        if config.dry_run:
            return _estimate(config, tiles)
        if not ranks.first:
            return _go(config, tiles, exists=False)
        with mirrored(config.out), claim(work_folder(config.out)) as exists:
            return _go(config, tiles, exists=exists)


def _go(config: PretrainConfig, tiles: Input, *, exists: bool) -> Run:
    """Train in the folder that the first rank has claimed; `exists` says whether it found a run there."""
    ranks, folder = tiles.ranks, work_folder(config.out)
    asked = config.model_dump(mode="json") | {
        "bands": ",".join(tiles.store.format.bands),
        "pack": tiles.store.digest,
    }
    found = _reopen(folder, asked) if exists else None
    checkpoint = ranks.from_first(load_newest(found.checkpoints) if found else None)
    if checkpoint:  # imported weights see pixels by other statistics than the pack's
        tiles.store.format = TileFormat.from_json(checkpoint.state["tiles"])
    stored = ranks.from_first(found.recipe if found else None)
    recipe = Recipe.model_validate(stored) if stored else _resolve(config, tiles)
    _say(recipe, tiles)
    micro_batch = _micro_batch(config, checkpoint, ranks)
    trainer = Trainer(recipe, tiles.store.format, ranks=ranks, micro_batch=micro_batch)
    if checkpoint is None and config.init:
        _start_from(config.init, trainer)  # before a run is written: the weights may not fit
    start = _resume(checkpoint, trainer)
    if found is None:
        resolved = {"tiles": absolute(config.tiles), "recipe": recipe.model_dump(), "asked": asked}
        create = Run.create if ranks.first else Run.elsewhere
        found = create(folder, resolved, command=command_line("pretrain", config))
    return _train(found, trainer, tiles, start=start, config=config)


def _check_shares(config: PretrainConfig, ranks: Ranks) -> None:
    batch, world = config.batch_size, ranks.world
    if batch % world:
        able = ", ".join(str(n) for n in range(1, batch + 1) if batch % n == 0)
        raise UsageError(
            f"--batch-size {batch} cannot be shared evenly by {world} processes; possible are {able}"
        )
    if config.micro_batch is not None and config.micro_batch > batch // world:
        raise UsageError(
            f"--micro-batch {config.micro_batch} would change nothing: a step has {batch // world} tiles a "
            "process; give fewer, or leave it out"
        )


def _micro_batch(config: PretrainConfig, checkpoint: Checkpoint | None, ranks: Ranks) -> int:
    """Tiles that go through the networks at once, said with the reason where it was not asked for."""
    share = config.batch_size // ranks.world
    if config.micro_batch is not None:
        return config.micro_batch
    fitted = checkpoint.state.get("micro_batch", share) if checkpoint else share
    if fitted < share:
        log.info(
            f"  micro_batch = {fitted}: what fitted into memory before the stop; --micro-batch sets another"
        )
        return int(fitted)
    whole = "the whole batch" if ranks.world == 1 else f"each process's share of {config.batch_size}"
    log.info(f"  micro_batch = {share}: {whole} at once; halved where memory runs out")
    return share


def _reopen(path: Path, asked: Mapping[str, object]) -> Run:
    run = Run.open(path)
    if "imported" in run.config and "recipe" not in run.config:
        raise UsageError(
            f"{path} holds imported weights and no training to go on with; start one from them: "
            f"swath pretrain TILES --out NEW --init {path}"
        )
    for name, (before, now) in check_same(run.asked, asked, run=path, safe_keys=FREE_TO_CHANGE).items():
        log.info(f"{name}: {before} -> {now}")
    return run


def _train(run: Run, trainer: Trainer, tiles: Input, *, start: int, config: PretrainConfig) -> Run:
    recipe = trainer.recipe
    if start < recipe.steps:
        saver = Saver(trainer, run, about=_checkpoint_state(recipe, tiles), every=config.save_every)
        loop = Loop(trainer, run, _evaluators(recipe, tiles), saver=saver, on_collapse=config.on_collapse)
        loop.go(lambda step: _loader(recipe, tiles, step), start_step=start)
    else:
        log.info(f"{run.path} is finished ({start} steps); nothing to do")
    return run


def _evaluators(recipe: Recipe, tiles: Input) -> list[Evaluator]:
    if not recipe.monitor_every:
        return []
    return checks(tiles.store, policy_of(recipe.model_dump()), seed=recipe.seed, device=tiles.ranks.device)


def _open(config: PretrainConfig, ranks: Ranks) -> Input:
    store = TileStore(config.tiles)
    chosen = choose_precision(config.precision, ranks.device)
    precision = str(chosen.dtype).removeprefix("torch.")
    log.info(f"precision {precision}: {chosen.reason}")
    compiling = choose_compiling(ranks.device)
    log.info(f"torch.compile {'yes' if compiling.wanted else 'no'}: {compiling.reason}")
    archive = Archive(
        tiles=len(trainable_rows(store)), size_px=store.format.size_px, bands=len(store.format.bands)
    )
    return Input(store=store, archive=archive, precision=precision, ranks=ranks)


def _resolve(config: PretrainConfig, tiles: Input) -> Recipe:
    resolved = partial(
        resolve,
        config,
        tiles.archive,
        precision=tiles.precision,
        accelerated=tiles.ranks.device.type != "cpu",
    )
    if config.minutes is None:
        return resolved(steps=steps_of(config, tiles.archive))
    trial = resolved(steps=1000)
    rate = measure_rate(Trainer(trial, tiles.store.format, ranks=tiles.ranks), _loader(trial, tiles, 0))
    steps = tiles.ranks.from_first(max(10, round(config.minutes * 60 * rate / trial.batch_size)))
    log.info(f"measured {rate:,.0f} images/s: {config.minutes:g} minutes are {steps:,} steps")
    return resolved(steps=steps)


def _estimate(config: PretrainConfig, tiles: Input) -> Estimate:
    recipe = _resolve(config, tiles)
    _say(recipe, tiles)
    trainer = Trainer(recipe, tiles.store.format, ranks=tiles.ranks)
    return estimate(trainer, _loader(recipe, tiles, 0), steps=recipe.steps)


def _loader(recipe: Recipe, tiles: Input, start_step: int) -> Loader:
    return Loader(
        tiles.store,
        rows=trainable_rows(tiles.store),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        cursor=start_step * recipe.batch_size,
        steps=recipe.steps - start_step,
        share=tiles.ranks.share(recipe.batch_size),
        order=recipe.order,
    )


def _resume(checkpoint: Checkpoint | None, trainer: Trainer) -> int:
    if checkpoint is None:
        return 0
    restore(checkpoint.tensors, trainer.method, trainer.optimizer)
    trainer.rollbacks = int(checkpoint.state.get("rollbacks", 0))
    log.info(f"Resuming from step {checkpoint.step}")
    before, world = checkpoint.state.get("world", 1), trainer.ranks.world
    if before != world:
        log.info(
            f"processes {before} -> {world}: each step has the same tiles, and the same loss up to rounding"
        )
    return checkpoint.step


def _start_from(weights: Path, trainer: Trainer) -> None:
    """Set the backbones of student and teacher to given weights (a file, or the newest teacher of a run)."""
    if weights.is_dir():
        source = Run.open(weights).checkpoint()
        check_same_input(TileFormat.from_json(source.state["tiles"]), trainer.tile_format, where="the pack")
        tensors = {
            k.removeprefix("backbone."): t
            for k, t in source.tensors["teacher"].items()
            if k.startswith("backbone.")
        }
    else:
        tensors = chosen_network(read_weights(weights), where=weights)
    for network in (trainer.method.student, trainer.method.teacher):
        report = load_backbone(network.backbone, tensors)
    log.info(f"--init {weights}: {len(report.matched)} tensors matched, {len(report.unexpected)} not used")


def _checkpoint_state(recipe: Recipe, tiles: Input) -> dict[str, object]:
    store = tiles.store
    return {
        "method": recipe.method,
        "vit": vit_shape(recipe, tiles.archive.bands).to_json(),
        "tiles": store.format.to_json(),
        "vocabulary": list(store.vocabulary),
        "pack_digest": store.digest,
        "split_digest": store.split_digest,
    }


def _say(recipe: Recipe, tiles: Input) -> None:
    parameters = recipe.model_dump()
    log.info(
        f"{recipe.method} with {recipe.model}, patch {recipe.patch_size}, {recipe.steps:,} steps of "
        f"{recipe.batch_size} from {tiles.archive.tiles:,} tiles, on {tiles.ranks}, {recipe.precision}"
    )
    for name, reason in recipe.reasons.items():
        log.info(f"  {name} = {parameters[name]}: {reason}")
