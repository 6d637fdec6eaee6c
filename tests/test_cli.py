"""The command line contract: exit codes, one-line errors, all mistakes at once, nothing heavy before."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swath import storage
from swath.cli import VERBS, main


def say(capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_help_is_fast_and_names_every_verb():
    best, text = 1e9, ""
    for _ in range(3):
        started = time.perf_counter()
        text = subprocess.run(
            [sys.executable, "-m", "swath.cli", "--help"], capture_output=True, text=True, check=True
        ).stdout
        best = min(best, time.perf_counter() - started)
    assert all(f"swath {verb}" in text for verb in VERBS)
    assert best < 0.4


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_names_every_setting(verb, capsys):
    import swath.config

    code, text, _ = say(capsys, verb, "--help")
    assert code == 0
    for name in getattr(swath.config, VERBS[verb].settings).model_fields:
        assert name.upper() in text or f"--{name.replace('_', '-')}" in text


def test_help_shows_defaults_as_they_are_typed_and_wraps_with_its_indent(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    _, text, _ = say(capsys, "ladder", "--help")
    assert "[0.01,0.1,1.0]" in text
    assert "[linear,knn]" in text
    assert re.search(r"  --seed N\n {6}Of the draws[^-]+\[0\]", text)
    settings = text[text.index("  TILES\n") : text.index("  --config")].splitlines()
    assert all(line.startswith("  ") and len(line) <= 60 for line in settings)
    assert say(capsys, "split", "--help")[1].startswith("swath split INDEX --out PATH [--flag value ...]")


def test_a_flag_with_one_dash_is_named_and_a_negative_number_is_a_value(capsys):
    code, _, errors = say(capsys, "split", "a.parquet", "-out", "b.parquet")
    assert code == 2
    assert errors.splitlines() == [
        'swath: unknown flag -out. Did you mean "--out"?',
        "swath: --out is missing: the index to write",
    ]
    _, _, errors = say(capsys, "search", "none.parquet", "--like", "-3.2,40.1")
    assert "none.parquet does not exist" in errors


def test_the_words_of_a_verb_are_frozen():
    """Scripts of other people depend on these flags: extend the list, never rename."""
    import swath.config

    flags = {verb: sorted(getattr(swath.config, v.settings).model_fields) for verb, v in VERBS.items()}
    recorded = json.loads((Path(__file__).parent / "frozen_flags.json").read_text(encoding="utf-8"))
    assert flags == recorded


@pytest.mark.parametrize("words", [["pretrain", "--help"], ["nonsense", "--json"]])
def test_a_reader_that_has_seen_enough_ends_a_command_quietly(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "swath.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 141
    assert "Broken" not in errors
    assert "internal" not in errors


def test_a_command_line_and_its_settings_are_each_made_from_the_other():
    from swath.arguments import command_line, parse
    from swath.config import IndexConfig, PackConfig

    words = ["a b.parquet", "--out", "o.lance", "--bands", "B04,B03", "--max-bad", "0.5"]
    line = command_line("pack", parse(PackConfig, words))
    assert line == "swath pack 'a b.parquet' --out o.lance --bands B04,B03 --max-bad 0.5"
    settings = IndexConfig(source="s", out="o", partial_labels=True, stride_px=None, label_columns=("a", "b"))
    line = command_line("index", settings)
    assert line == "swath index s --out o --label-columns a,b --partial-labels"


def test_an_unknown_command_names_the_nearest(capsys):
    code, _, errors = say(capsys, "pretain")
    assert code == 2
    assert 'Did you mean "pretrain"?' in errors


def test_every_mistake_is_reported_at_once(capsys):
    code, _, errors = say(
        capsys, "pretrain", "t.lance", "--out", "r", "--batch-size", "0", "--lr", "-1", "--epochs", "0",
        "--out-dim", "1", "--warmup-share", "2", "--precision", "float16", "--momentun", "0.9",
    )  # fmt: skip
    assert code == 2
    for part in ("--batch-size 0", "--lr -1", "--epochs 0", "--out-dim 1", "--warmup-share 2", "float16"):
        assert part in errors
    assert 'unknown flag --momentun. Did you mean "--momentum"?' in errors
    assert len(errors.splitlines()) == 7


def test_settings_are_refused_before_torch_is_imported():
    code = (
        "import sys, swath.cli; swath.cli.main(['pretrain', 't', '--out', 'r', '--lr', '-1']);"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_numbers_and_lists_from_a_settings_file(capsys, tmp_path):
    settings = tmp_path / "my.yaml"
    settings.write_text("lr: 1e-3\nepoch: 3\n", encoding="utf-8")
    code, _, errors = say(capsys, "pretrain", "t.lance", "--out", "r", "--config", str(settings))
    assert code == 2
    assert 'unknown setting "epoch". Did you mean "epochs"?' in errors
    assert "lr" not in errors.replace("unknown", "")
    assert str(settings) in errors


def test_the_command_line_wins_over_the_settings_file(tmp_path):
    from swath.arguments import parse
    from swath.config import PackConfig, PretrainConfig

    settings = tmp_path / "my.yaml"
    settings.write_text("lr: 1e-3\nseed: 4\n", encoding="utf-8")
    config = parse(PretrainConfig, ["t", "--out", "r", "--config", str(settings), "--seed=5"])
    assert (config.lr, config.seed) == (1e-3, 5)
    assert parse(PackConfig, ["i", "--out", "o", "--bands", "B04, B03,B02"]).bands == ("B04", "B03", "B02")


def test_a_list_takes_several_words_once_no_setting_without_a_flag_is_waiting():
    from swath.arguments import parse
    from swath.config import LadderConfig, PackConfig

    words = ["t.lance", "--runs", "a", "b", "--label-fraction", "1.0", "0.01", "0.1", "--seed", "3"]
    found = parse(LadderConfig, words)
    assert found.runs == (Path("a"), Path("b"))
    assert found.label_fraction == (0.01, 0.1, 1.0)
    assert parse(LadderConfig, ["t.lance", "--runs", "a,b"]).runs == found.runs
    after = parse(PackConfig, ["--bands", "B04,B03", "index.parquet", "--out", "o"])
    assert (str(after.index), after.bands) == ("index.parquet", ("B04", "B03"))


def test_two_lengths_are_one_too_many(capsys):
    code, _, errors = say(capsys, "pretrain", "t", "--out", "r", "--epochs", "3", "--minutes", "2")
    assert code == 2
    assert "--epochs and --minutes are given; give one of --epochs, --steps, --minutes" in errors


def test_missing_and_surplus_words(capsys):
    code, _, errors = say(capsys, "pack", "--out")
    assert code == 2
    assert "--out needs a value" in errors
    assert "INDEX is missing" in errors
    code, _, errors = say(capsys, "pack", "a", "b", "--out", "c")
    assert '"b" is one word too many' in errors


def test_an_error_is_json_too_when_asked(capsys):
    code, out, _ = say(capsys, "pack", "nowhere.parquet", "--out", "x.lance", "--json")
    answer = json.loads(out.splitlines()[-1])
    assert answer["exit_code"] == code == 3
    assert "nowhere.parquet" in answer["error"]


def test_no_traceback_without_debug(capsys):
    _, _, errors = say(capsys, "pack", "nowhere.parquet", "--out", "x.lance")
    assert "Traceback" not in errors
    _, _, errors = say(capsys, "pack", "nowhere.parquet", "--out", "x.lance", "--debug")
    assert "Traceback" in errors


def test_a_run_needs_a_folder_of_its_own(capsys, packed, tiny, tmp_path):
    flags = [*tiny, "--steps", "2"]
    occupied = tmp_path / "thesis"
    occupied.mkdir()
    (occupied / "chapter1.tex").write_text("precious", encoding="utf-8")
    code, _, errors = say(capsys, "pretrain", str(packed), "--out", str(occupied), *flags)
    assert code == 2
    assert "not a run and not empty" in errors
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    code, _, errors = say(capsys, "pretrain", str(packed), "--out", str(file), *flags)
    assert code == 2
    assert "is a file" in errors
    code, _, errors = say(capsys, "pretrain", str(packed), "--out", "/", *flags)
    assert code == 2
    assert (occupied / "chapter1.tex").read_text(encoding="utf-8") == "precious"
    assert len(list(occupied.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_named(capsys, packed, tiny, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code, _, errors = say(
        capsys, "pretrain", str(packed), "--out", str(closed / "run"), *tiny, "--steps", "2"
    )
    assert code == 5
    assert "not writable" in errors


def test_resuming_with_other_settings_or_bands_shows_the_difference(capsys, packed, archive, tiny, tmp_path):
    import swath

    out = tmp_path / "run"
    command = ["pretrain", str(packed), "--out", str(out), *tiny, "--steps", "2"]
    assert say(capsys, *command)[0] == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    code, _, errors = say(capsys, *command, "--lr", "0.5", "--model", "vit_tiny")
    assert code == 2
    assert "model: vit_micro -> vit_tiny" in errors
    assert "lr: None -> 0.5" in errors
    swath.index(archive / "scene.tif", out=tmp_path / "i.parquet", layout="scenes", tile_px=32)
    bands = swath.pack(tmp_path / "i.parquet", out=tmp_path / "two.lance", bands="red,green").bands
    command[1] = str(tmp_path / "two.lance")
    code, _, errors = say(capsys, *command)
    assert code == 2
    assert f"bands: red,green,blue -> {','.join(bands)}" in errors
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_switch_takes_no_value_and_numbers_are_finite(capsys):
    code, _, errors = say(
        capsys, "split", "i", "--out", "o", "--force=false", "--block-m", "inf", "--test-share", "nan",
        "--seed", "99999999999999999999",
    )  # fmt: skip
    assert code == 2
    for part in ("--force takes no value", "--block-m inf", "--test-share nan", "--seed 9"):
        assert part in errors
    assert len(errors.splitlines()) == 4


def test_a_default_of_zero_is_shown(capsys):
    _, text, _ = say(capsys, "split", "--help")
    assert "[0]" in text
    assert "[0.0]" in text
    assert "[False]" not in text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_lack_of_memory_is_said_as_such(capsys, monkeypatch, error):
    def lack(_config):
        raise error

    monkeypatch.setattr("swath.doctor.run", lack)
    code, _, errors = say(capsys, "doctor")
    assert code == 5
    assert "--batch-size" in errors


@pytest.mark.parametrize(("given", "name"), [("imagery", "imagery/tile.tif"), ("scene.tif", "scene.tif")])
def test_what_is_no_imagery_on_s3_is_refused_in_one_line(given, name, s3, capsys, tmp_path):
    with storage.object_aside(s3(name)) as file:
        file.write_bytes(b"not looked at")
    code, _, errors = say(capsys, "index", str(s3(given)), "--out", str(tmp_path / "i.parquet"))
    assert code == 3
    assert "is not a GeoTIFF" in errors.splitlines()[-1]
    assert str(s3(name)) in errors


def test_s3_that_does_not_answer_is_said_in_one_line(capsys, tmp_path, monkeypatch):
    with socket.socket() as closed:  # bound, and listens to nobody
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret-of-the-tests")
        code, _, errors = say(capsys, "index", "s3://bucket/tiles", "--out", str(tmp_path / "i.parquet"))
    assert code == 5
    assert errors.count("\n") == 1
    assert "AWS_ENDPOINT_URL" in errors
