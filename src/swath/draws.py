"""Every random number about data, as a pure function of (seed, epoch, sample id).

No generator is carried along, so there is no generator state to save: a resumed run, another batch size or
another number of processes draws the same numbers for the same sample. The mixing function is splitmix64
(Steele, Lea and Flood, 2014, "Fast splittable pseudorandom number generators"), applied once for each key.
"""

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def uniforms(
    count: int,
    *,
    seed: int,
    epochs: npt.NDArray[np.int64],
    sample_ids: npt.NDArray[np.int64],
    stream: str,
) -> npt.NDArray[np.float32]:
    """(B, count) numbers in [0, 1): row b depends on (seed, stream, epochs[b], sample_ids[b]) alone.

    `stream` names the purpose ("crop", "jitter", ...), so that two purposes never share numbers.
    """
    key = _mix(_mix(_stream_key(seed, stream) ^ epochs.astype(np.uint64)) ^ sample_ids.astype(np.uint64))
    bits = _mix(key[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)[None, :])
    return ((bits >> np.uint64(40)).astype(np.float32)) * np.float32(2.0**-24)


def permutation(n: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order (n,) in which epoch `epoch` visits samples 0..n-1: ranks of 64-bit hashes."""
    key = _mix(_stream_key(seed, "order") ^ np.uint64(epoch))
    return np.argsort(_mix(key + _GOLDEN * np.arange(1, n + 1, dtype=np.uint64)), kind="stable")


def _stream_key(seed: int, stream: str) -> np.uint64:
    key = _mix(np.asarray([seed], dtype=np.uint64))  # first, or seeds that differ in a few bits share streams
    for byte in stream.encode():
        key = _mix(key ^ np.uint64(byte))
    return np.uint64(key[0])


def _mix(value: npt.NDArray[np.uint64] | np.uint64) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        mixed = np.asarray(value, dtype=np.uint64) + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        return mixed ^ (mixed >> np.uint64(31))
