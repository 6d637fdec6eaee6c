"""The processes of one training: who this one is, and the few things that they do together.

A process alone is rank 0 of 1, and everything here costs it nothing. The others are found by the variables of
torchrun: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.
"""

import contextlib
import datetime as dt
import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from swath.errors import LostRankError, MachineError, UsageError
from swath.runtime.peers import Peers
from swath.runtime.pulse import Pulse
from swath.runtime.watchdog import Watchdog

MEET_S = 300.0
# Torch's own limit for one exchange. Long, because a rank that checks or saves holds up the others honestly;
# one that hangs is found by its watchdog.
TOGETHER_S = 1800.0
# Gradients travel in pieces of this size, so that the copy beside them stays small.
_PIECE_BYTES = 2**25

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `world`. All methods must be called by every rank, in the same order.

    Raises (each method):
        LostRankError: another rank did not take part in time, or has ended.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pulse: Pulse = field(default_factory=Pulse)

    def __str__(self) -> str:
        return str(self.device) if self.world == 1 else f"{self.world} x {self.device.type}"

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes and speaks."""
        return self.rank == 0

    def share(self, tiles: int) -> slice:
        """Which of the tiles of a step are this rank's; all ranks have as many."""
        own = tiles // self.world
        return slice(own * self.rank, own * (self.rank + 1))

    def add_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each float32 tensor by its sum over the ranks, the same bits everywhere."""
        if self.world > 1:
            with self._together():
                for piece in _pieces(tensors):
                    flat = torch.cat([tensor.reshape(-1) for tensor in piece])
                    dist.all_reduce(flat)
                    sums = torch.split(flat, [tensor.numel() for tensor in piece])
                    torch._foreach_copy_(
                        list(piece), [total.view_as(old) for total, old in zip(sums, piece, strict=True)]
                    )

    def gather(self, rows: Tensor, tiles: int) -> Tensor:
        """Rows of this rank's tiles, (b, ...) or (n * b, ...), -> those of all `tiles`, without gradient."""
        if self.world == 1:
            return rows.detach()
        own = self.share(tiles)
        each = len(rows) // (own.stop - own.start)
        whole = rows.new_zeros(tiles * each, *rows.shape[1:])
        whole[own.start * each : own.stop * each] = rows.detach()
        self.add_([whole])
        return whole

    def any(self, *, here: bool) -> bool:
        """Whether it is so on any rank."""
        if self.world == 1:
            return here
        flag = torch.tensor([here], dtype=torch.uint8)
        with self._together():
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag.item())

    def from_first(self, value: T) -> T:
        """What the first rank gave; the others' values are not looked at."""
        if self.world == 1:
            return value
        box = [value]
        with self._together():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        try:
            with self.pulse.waiting():
                yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise LostRankError(
                f"another process of this training was lost ({reason}); run the same command to resume from "
                "the last checkpoint"
            ) from error


@contextlib.contextmanager
def joined(device: torch.device, *, backend: str | None = None, run: Path | None = None) -> Iterator[Ranks]:
    """Meet the other processes that torchrun's variables tell of; at the end, part. A watchdog watches.

    backend: for the gradients; None is nccl between GPUs and gloo between processors. run: where the watchdog
    leaves stacks.

    Raises:
        UsageError: the backend is not installed here.
        MachineError: the others did not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    pulse = Pulse()
    if world == 1:
        if backend:
            raise UsageError(f"--backend {backend} would change nothing with one process; leave it out")
        with Watchdog(pulse, run=run):
            yield Ranks(device=device, pulse=pulse)
        return
    named, device = _backend(device, backend), _own(device)
    with _meeting(world):
        store, rank, _ = next(rendezvous("env://", timeout=dt.timedelta(seconds=MEET_S)))
    with Watchdog(pulse, rank=rank, peers=Peers(store.clone(), rank=rank, world=world), run=run):
        with _meeting(world):
            dist.init_process_group(
                named,
                store=store,
                rank=rank,
                world_size=world,
                timeout=dt.timedelta(seconds=TOGETHER_S),
                device_id=device if device.type == "cuda" else None,
            )
            dist.barrier()
        try:
            yield Ranks(rank=rank, world=world, device=device, pulse=pulse)
        finally:
            dist.destroy_process_group()


@contextlib.contextmanager
def _meeting(world: int) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise MachineError(f"the {world} processes did not meet within {MEET_S:.0f} s: {error}") from error


def _own(device: torch.device) -> torch.device:
    """Of several GPUs, the one with the number that torchrun gave this process on its machine."""
    if device.type != "cuda":
        return device
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own


def _backend(device: torch.device, asked: str | None) -> str:
    """Flags and objects of the host always go by gloo."""
    if asked == "smddp":
        try:
            importlib.import_module("smdistributed.dataparallel.torch.torch_smddp")
        except ImportError:
            raise UsageError(
                "--backend smddp needs the library smdistributed.dataparallel, which SageMaker's images of "
                "PyTorch carry; leave --backend out"
            ) from None
    if device.type != "cuda":
        if asked:
            raise UsageError(f"--backend {asked} is for GPUs; processors use gloo: leave --backend out")
        return "gloo"
    return f"cpu:gloo,cuda:{asked or 'nccl'}"


def _pieces(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours that make up about `_PIECE_BYTES` together."""
    piece: list[Tensor] = []
    size = 0
    for tensor in tensors:
        piece.append(tensor)
        size += tensor.nbytes
        if size >= _PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
