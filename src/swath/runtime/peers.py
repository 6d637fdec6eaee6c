"""What the ranks of one training tell each other about themselves, by torch's store, beside the training."""

import json
import socket
from typing import Any

from torch.distributed.distributed_c10d import Store


class Peers:
    """The other ranks, as their watchdogs describe them once a second; `store` is for one thread alone."""

    def __init__(self, store: Store, *, rank: int, world: int) -> None:
        self._store = store
        self._rank = rank
        self._keys = {other: f"swath/pulse/{other}" for other in range(world)}
        self._told = 0
        self._heard: dict[
            int, tuple[dict[str, Any], float]
        ] = {}  # what each said last, and when that was new

    def exchange(self, here: dict[str, Any], now: float) -> None:
        """Tell the others how this rank is, and hear how they are."""
        self._told += 1
        word = {**here, "told": self._told, "host": socket.gethostname()}
        keys = [key for rank, key in self._keys.items() if rank != self._rank]
        try:
            self._store.set(self._keys[self._rank], json.dumps(word))
            said = self._store.multi_get(keys) if self._store.check(keys) else []
        except RuntimeError:
            return  # the store is gone with the process that held it: everyone is silent from now on
        others = [rank for rank in self._keys if rank != self._rank]
        for rank, text in zip(others, said, strict=False):
            word = json.loads(text)
            if rank not in self._heard or self._heard[rank][0]["told"] != word["told"]:
                self._heard[rank] = word, now

    def longest_wait_s(self) -> float:
        """How long the others say they have waited."""
        return max((float(word["waits_s"]) for word, _ in self._heard.values()), default=0.0)

    def silent(self, now: float, limit_s: float) -> str:
        """The first rank that has said nothing for so long, where it was last, '' where there is none."""
        for rank, (word, heard) in sorted(self._heard.items()):
            if now - heard >= limit_s:
                return f"rank {rank} on {word['host']} was last seen at {word['at']}"
        return ""
