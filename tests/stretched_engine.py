"""An engine that does what ray does but for the other processes: stretches, pickled there and back."""

import contextlib
import pickle

from swath.engine import HERE, stretches


class Stretched:
    def __init__(self):
        self.calls = 0

    def __reduce__(self):
        return type(HERE), ()

    def over(self, work, given, count, *, at_once):
        for stretch in stretches(count, at_once=at_once, workers=2):
            self.calls += 1
            work_there, given_there = _pickled((work, given))
            yield from _pickled(list(work_there(given_there, stretch)))


def _pickled(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301 -- its own bytes


def stretched(monkeypatch, stage):
    """Let `--engine ray` of a stage be a Stretched, which is returned."""
    engine = Stretched()
    monkeypatch.setattr(f"{stage}.engine_of", lambda *_, **__: contextlib.nullcontext(engine))
    return engine
