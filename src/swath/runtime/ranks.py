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
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from swath.errors import MachineError, UsageError

MEET_S = 300.0
# Gradients travel in pieces of this size, so that the copy beside them stays small.
_PIECE_BYTES = 2**25

T = TypeVar("T")


class LostRankError(MachineError):
    """Another process of this training has ended or hangs; what this one holds is whole."""


@dataclass(frozen=True)
class Ranks:
    """This process is number `rank` of `world`. All methods must be called by every rank, in the same order.

    Raises (each method):
        LostRankError: another rank did not take part in time, or has ended.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __str__(self) -> str:
        return str(self.device) if self.world == 1 else f"{self.world} x {self.device.type}"

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes and speaks."""
        return self.rank == 0

    def share(self, tiles: int, rank: int | None = None) -> slice:
        """Which of the tiles of a step are this rank's (or another's): sizes differ by one at most."""
        rank = self.rank if rank is None else rank
        return slice(tiles * rank // self.world, tiles * (rank + 1) // self.world)

    def add_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each float32 tensor by its sum over the ranks, the same bits everywhere."""
        if self.world > 1:
            with _together():
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
        with _together():
            dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag.item())

    def from_first(self, value: T) -> T:
        """What the first rank gave; the others' values are not looked at."""
        if self.world == 1:
            return value
        box = [value]
        with _together():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]


@contextlib.contextmanager
def joined(device: torch.device, *, backend: str | None = None) -> Iterator[Ranks]:
    """Meet the other processes that torchrun's variables tell of; at the end, part from them.

    backend: for the gradients; None is nccl between GPUs and gloo between processors.

    Raises:
        UsageError: the backend is not installed here.
        MachineError: the others did not come.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        if backend:
            raise UsageError(f"--backend {backend} would change nothing with one process; leave it out")
        yield Ranks(device=device)
        return
    named = _backend(device, backend)
    timeout = dt.timedelta(seconds=MEET_S)
    try:
        dist.init_process_group(named, timeout=timeout, device_id=device if device.type == "cuda" else None)
        dist.barrier()
    except (RuntimeError, ValueError) as error:
        raise MachineError(f"the {world} processes did not meet within {MEET_S:.0f} s: {error}") from error
    try:
        yield Ranks(rank=dist.get_rank(), world=world, device=device)
    finally:
        dist.destroy_process_group()


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


@contextlib.contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise LostRankError(f"another process of this training was lost ({reason})") from error
