"""What ranks do together, in a process alone; several are in tests/pretraining."""

import sys
import types

import pytest
import torch

from swath.errors import UsageError
from swath.runtime import ranks as module
from swath.runtime.ranks import Ranks

SMDDP = "smdistributed.dataparallel.torch.torch_smddp"


def test_shares_are_equal_and_cover_the_batch_in_order():
    ranks = [Ranks(rank=rank, world=4) for rank in range(4)]
    tiles = list(range(12))
    assert [tiles[rank.share(12)] for rank in ranks] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_alone_nothing_is_exchanged():
    ranks, tensor = Ranks(), torch.ones(3, requires_grad=True)
    ranks.add_([tensor])
    assert ranks.gather(tensor, 3).tolist() == [1, 1, 1]
    assert (ranks.any(here=True), ranks.any(here=False)) == (True, False)
    assert ranks.from_first("word") == "word"


def test_smddp_is_passed_through_where_its_library_is(monkeypatch):
    for name in ("smdistributed", "smdistributed.dataparallel", "smdistributed.dataparallel.torch", SMDDP):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    assert module._backend(torch.device("cuda"), "smddp") == "cpu:gloo,cuda:smddp"


def test_smddp_without_its_library_says_where_it_is():
    with pytest.raises(UsageError, match=r"smdistributed\.dataparallel, which SageMaker's images of PyTorch"):
        module._backend(torch.device("cuda"), "smddp")


def test_gpus_speak_nccl_and_processors_gloo():
    assert module._backend(torch.device("cuda"), None) == "cpu:gloo,cuda:nccl"
    assert module._backend(torch.device("cpu"), None) == "gloo"
    with pytest.raises(
        UsageError, match="--backend nccl is for GPUs; processors use gloo: leave --backend out"
    ):
        module._backend(torch.device("cpu"), "nccl")


def test_of_several_gpus_a_process_takes_its_own(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert module._own(torch.device("cuda")) == torch.device("cuda", 3)
    assert chosen == [torch.device("cuda", 3)]
    assert module._own(torch.device("cpu")) == torch.device("cpu")
