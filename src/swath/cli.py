"""The command line: the only file that sees every room, and the only one that speaks to a terminal.

Rooms are imported inside the command that was asked for, so `swath --help` needs neither torch nor pydantic.
"""

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from swath.errors import MachineError, Stopped, SwathError, UsageError, did_you_mean, is_out_of_memory
from swath.redaction import redacted

_CLOSED_PIPE = 141  # as the shell says of a process that SIGPIPE ended


@dataclass(frozen=True)
class Verb:
    """One command: `stage` is a module with `run(settings)`; `settings` names its model in swath.config."""

    stage: str
    settings: str
    about: str


VERBS = {
    "demo": Verb("swath.demo", "DemoConfig", "the whole flow on a real Sentinel-2 scene, in minutes"),
    "doctor": Verb("swath.doctor", "DoctorConfig", "what this machine can do, what is missing, what to type"),
    "download": Verb(
        "swath.prepare.download", "DownloadConfig", "the files of BigEarthNet, whole and checked"
    ),
    "index": Verb("swath.prepare.index", "IndexConfig", "archive of imagery -> index.parquet, a row a tile"),
    "split": Verb("swath.prepare.split", "SplitConfig", "say which tiles train, validate and test"),
    "audit": Verb(
        "swath.prepare.audit", "AuditConfig", "does test touch train on the ground? numbers and a map"
    ),
    "describe": Verb(
        "swath.prepare.describe", "DescribeConfig", "what is in an index or pack: counts, bands, sample tiles"
    ),
    "pack": Verb("swath.prepare.pack", "PackConfig", "index -> tiles.lance, pixels at training speed"),
    "pretrain": Verb(
        "swath.pretraining.stage", "PretrainConfig", "tiles -> run: a network that learned without labels"
    ),
    "replay": Verb(
        "swath.pretraining.replay", "ReplayConfig", "take a step again that was not finite, and say where"
    ),
    "import": Verb(
        "swath.pretraining.import_weights",
        "ImportConfig",
        "weights of DINO or timm, .pth or .safetensors -> run",
    ),
    "export": Verb(
        "swath.pretraining.export_weights", "ExportConfig", "run -> weights for timm, DINO, ONNX, TorchScript"
    ),
    "embed": Verb("swath.transfer.embed", "EmbedConfig", "run + tiles -> features.parquet"),
    "probe": Verb(
        "swath.transfer.probe", "ProbeConfig", "run + tiles -> what the features are worth on your labels"
    ),
    "ladder": Verb(
        "swath.transfer.ladder",
        "LadderConfig",
        "tiles + runs -> one table: did pretraining pay, on how few labels",
    ),
    "finetune": Verb(
        "swath.transfer.finetune", "FinetuneConfig", "run + labels or masks -> a run trained end to end"
    ),
    "bundle": Verb(
        "swath.serve.bundle.stage",
        "BundleConfig",
        "run + head -> one folder that others use, with its contract",
    ),
    "verify": Verb("swath.serve.bundle.verify", "VerifyConfig", "is a bundle or run still what was written?"),
    "explore": Verb(
        "swath.serve.explore",
        "ExploreConfig",
        "run -> a page in the browser: map, plot, labels by example",
    ),
    "predict": Verb(
        "swath.serve.predict.stage", "PredictConfig", "bundle + scenes -> maps (GeoTIFF) and a table of tiles"
    ),
    "report": Verb("swath.transfer.report", "ReportConfig", "run -> report.html, one offline page"),
    "search": Verb("swath.serve.search", "SearchConfig", "features -> the tiles most like one tile or place"),
}


@dataclass(frozen=True)
class Switches:
    """Flags that every verb takes."""

    json: bool
    debug: bool
    quiet: bool


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `words` as in sys.argv[1:]."""
    try:
        code = _answer(list(sys.argv[1:] if words is None else words))
        print(end="", flush=True)
    except BrokenPipeError:  # who read our output, such as `head`, has seen enough
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())  # else Python complains when it flushes them at its end
        return _CLOSED_PIPE
    return code


def _answer(given: list[str]) -> int:
    switches = Switches(json="--json" in given, debug="--debug" in given, quiet="--quiet" in given)
    rest = [word for word in given if word not in {"--json", "--debug", "--quiet"}]
    try:
        with _tidy_end_by_sigterm():
            return _dispatch(rest, switches)
    except SwathError as error:
        return _refuse(error, switches)
    except KeyboardInterrupt:
        return _refuse(Stopped("stopped by Ctrl-C or SIGTERM; nothing half-written is left"), switches)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 -- the last line of defence: a bug is said in one line, never hidden
        if is_out_of_memory(error):
            advice = "out of memory; use a smaller --batch-size, --model or --tile-px"
            return _refuse(MachineError(advice), switches)
        message = f"internal error, please report it ({type(error).__name__}: {error}); --debug shows where"
        return _refuse(SwathError(message), switches)


@contextlib.contextmanager
def _tidy_end_by_sigterm() -> Iterator[None]:
    """SIGTERM ends a stage as Ctrl-C does, and what it wrote aside is removed; training has its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _dispatch(words: list[str], switches: Switches) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        print(_overview())
    elif words[0] == "--version":
        print(f"swath {importlib.import_module('importlib.metadata').version('swath')}")
    elif words[0] == "sagemaker":
        return _run_sagemaker(words[1:], switches)
    elif words[0] not in VERBS:
        raise UsageError(
            f'no command "{words[0]}".{did_you_mean(words[0], VERBS)} `swath --help` lists them.'
        )
    else:
        return _run_verb(words[0], words[1:], switches)
    return 0


def _run_verb(name: str, words: list[str], switches: Switches) -> int:
    """Exit code of the verb."""
    verb = VERBS[name]
    model = getattr(importlib.import_module("swath.config"), verb.settings)
    arguments = importlib.import_module("swath.arguments")
    if {"--help", "-h"} & set(words):
        print(arguments.usage(model, name))
        return 0
    settings = arguments.parse(model, words)
    speaks = name != "pretrain" or _is_first_rank()
    _log_to_terminal(level=_level(switches) if speaks else logging.ERROR)
    if name == "pretrain" and _launched(settings.nproc, [name, *words], switches):
        return 0
    result = importlib.import_module(verb.stage).run(settings)
    if not speaks:
        return 0
    return _answered(result, switches)


def _run_sagemaker(words: list[str], switches: Switches) -> int:
    verbs = importlib.import_module("swath.launch.sagemaker.verbs")
    if not words or words[0] in {"--help", "-h", "help"}:
        print(verbs.overview())
        return 0
    if {"--help", "-h"} & set(words):
        usage = importlib.import_module("swath.arguments").usage
        print(usage(verbs.model_of(words[0]), f"sagemaker {words[0]}"))
        return 0
    _log_to_terminal(level=_level(switches))
    return _answered(verbs.answer(words[0], words[1:]), switches)


def _answered(result: Any, switches: Switches) -> int:
    """Print a result, in words and as JSON where asked for; its exit code."""
    print("\n".join(line.rstrip() for line in result.lines()))
    if switches.json:
        print(json.dumps(result.to_json(), allow_nan=False))
    if (command := getattr(result, "next_command", None)) and not switches.quiet:
        print(f"next: {redacted(command)}", file=sys.stderr)
    return int(getattr(result, "exit_code", 0))


def _is_first_rank() -> bool:
    return bool(importlib.import_module("swath.launch.torchrun").rank() == 0)


def _launched(nproc: int | None, words: list[str], switches: Switches) -> bool:
    """Run the command as several processes where that was asked for; the first of them prints the result."""
    torchrun = importlib.import_module("swath.launch.torchrun")
    if not torchrun.is_needed(nproc):
        return False
    flags = {"--json": switches.json, "--debug": switches.debug, "--quiet": switches.quiet}
    torchrun.run(nproc, [*words, *(flag for flag, given in flags.items() if given)])
    return True


def _level(switches: Switches) -> int:
    return logging.WARNING if switches.quiet else logging.INFO


def _overview() -> str:
    lines = [
        "swath: self-supervised vision transformers for your own overhead imagery, and the proof",
        "of what they are worth.",
        "",
        *(f"  swath {name:9} {verb.about}" for name, verb in VERBS.items()),
        "  swath sagemaker stages as Amazon SageMaker jobs: swath sagemaker --help",
        "",
        "swath VERB --help tells more.",
        "Exit codes: 0 ok, 2 usage, 3 data, 4 training, 5 machine, 143 stopped.",
    ]
    return "\n".join(lines)


def _log_to_terminal(*, level: int) -> None:
    handler = _ToStandardError()
    logger = logging.getLogger("swath")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False


class _ToStandardError(logging.Handler):
    """Looks up sys.stderr at every line, so that lines go above a progress bar that has taken its place."""

    def emit(self, record: logging.LogRecord) -> None:
        print(redacted(self.format(record)), file=sys.stderr)


def _refuse(error: SwathError, switches: Switches) -> int:
    if switches.debug:
        print(redacted(traceback.format_exc()), end="", file=sys.stderr)
    if importlib.import_module("swath.runtime.last_words").leave(error):
        return error.exit_code
    said = redacted(str(error))
    for line in said.splitlines():
        print(f"swath: {line}", file=sys.stderr)
    if switches.json:
        print(json.dumps({"error": said, "exit_code": error.exit_code}))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
