"""What the first process of a container makes of the files it finds, whoever wrote them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from swath.errors import MachineError, UsageError
from swath.launch.sagemaker.container import Container
from swath.launch.sagemaker.metrics import Follower, definitions, line_of, read_line

TILES = "/opt/ml/input/data/tiles"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Writes the files of a container and reads them as its first process does."""
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))

    def tell(host="algo-1", hosts=("algo-1",), **hyperparameters):
        config = tmp_path / "input/config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        resources = {"current_host": host, "hosts": list(hosts)}
        (config / "resourceconfig.json").write_text(json.dumps(resources))
        return Container.here()

    return tell


def test_hyperparameters_become_the_words_of_the_command(told, tmp_path):
    verb, words = told(
        swath_verb="pretrain", tiles=TILES, out="/opt/ml/checkpoints/run", batch_size="64", lr="0.001"
    ).words()
    assert verb == "pretrain"
    assert words == [
        "pretrain", str(tmp_path / "input/data/tiles"), "--out", str(tmp_path / "checkpoints/run"),
        "--batch-size", "64", "--lr", "0.001",
    ]  # fmt: skip


@pytest.mark.parametrize("spelling", ["True", "true", '"true"'])
def test_booleans_are_read_in_every_spelling_of_the_clients(told, spelling):
    words = told(
        swath_verb="pretrain", tiles=TILES, out="/opt/ml/checkpoints/run", norm_last_layer=spelling
    ).words()[1]
    assert "--norm-last-layer" in words
    opposite = {"True": "False", "true": "false", '"true"': '"false"'}[spelling]
    words = told(swath_verb="pretrain", tiles=TILES, out="/o", norm_last_layer=opposite).words()[1]
    assert "--no-norm-last-layer" in words


def test_values_with_quotes_and_spaces_arrive_as_they_were(told):
    words = told(
        swath_verb="index", source='s3://bucket/o\'neil "x"', out="s3://bucket/index.parquet"
    ).words()[1]
    assert words[1] == 's3://bucket/o\'neil "x"'


def test_what_clients_of_aws_add_is_left_out(told):
    added = {"sagemaker_program": '"entry.py"', "sagemaker_region": "us-east-1"}
    words = told(swath_verb="pretrain", tiles=TILES, out="/o", **added).words()[1]
    assert not any("sagemaker" in word for word in words)


def test_a_dotted_key_is_refused_with_the_nearest_name(told):
    with pytest.raises(UsageError, match=r'unknown setting "optim.lr"'):
        told(swath_verb="pretrain", tiles=TILES, out="/o", **{"optim.lr": "1"}).words()


def test_a_job_without_a_verb_says_which_there_are(told):
    with pytest.raises(UsageError, match="expected one of index, pack, pretrain"):
        told(epochs="3").words()


def test_hosts_are_numbered_alike_on_every_host(told):
    assert [told(host=name, hosts=("algo-2", "algo-1")).number for name in ("algo-1", "algo-2")] == [0, 1]


def test_a_machine_that_is_no_container_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    with pytest.raises(MachineError, match="no container of SageMaker"):
        Container.here()


def entry(base, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "swath.launch.sagemaker.entry"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), **environment},
    )  # fmt: skip


def test_the_reason_of_a_failure_is_readable_and_the_code_is_the_stages(told, tmp_path):
    told(swath_verb="pretrain", tiles=TILES, out="/opt/ml/checkpoints/run", steps="3")
    process = entry(tmp_path)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 3, said
    reason = (tmp_path / "output/failure").read_text()
    assert "does not exist" in reason
    assert "Traceback" not in reason


def test_a_stage_of_one_process_is_not_run_by_each_that_a_client_started(told, tmp_path):
    told(swath_verb="index", source="s3://bucket/tiles", out="s3://bucket/index.parquet")
    process = entry(tmp_path, WORLD_SIZE="2", RANK="1")
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert "has started 2 processes, but index runs as one" in (tmp_path / "output/failure").read_text()


def test_the_first_reason_of_a_failure_is_kept(told, tmp_path):
    told(epochs="3")
    (tmp_path / "output").mkdir()
    (tmp_path / "output/failure").write_text("the tiles are damaged")
    entry(tmp_path).communicate(timeout=60)
    assert (tmp_path / "output/failure").read_text() == "the tiles are damaged"


def test_sigterm_reaches_the_stage_which_saves_and_the_lock_that_came_back_does_not_matter(
    told, tmp_path, packed, tiny
):
    (tmp_path / "input/data").mkdir(parents=True)
    (tmp_path / "input/data/tiles").symlink_to(packed)
    (tmp_path / "checkpoints/run").mkdir(parents=True)
    lock = {"pid": os.getpid(), "host": "algo-1-of-another-job", "since": "2026-01-01"}
    (tmp_path / "checkpoints/run/.lock").write_text(json.dumps(lock))
    flags = {flag[2:].replace("-", "_"): value for flag, value in zip(tiny[::2], tiny[1::2], strict=True)}
    told(swath_verb="pretrain", tiles=TILES, out="/opt/ml/checkpoints/run", steps="5000", **flags)
    process = entry(tmp_path)
    for line in process.stdout:
        if read_line(line).get("step", 0) >= 2:
            process.send_signal(signal.SIGTERM)
            break
    asked_at = time.monotonic()
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 143, said
    assert time.monotonic() - asked_at < 30
    assert "saved" in said
    assert list((tmp_path / "model/run/checkpoints").glob("step-*"))
    assert not (tmp_path / "output/failure").exists()


def test_a_row_of_metrics_is_one_line_whose_numbers_the_definitions_find():
    import re

    row = {"step": 20, "loss": 7.3125, "lr": 1.25e-06, "knn_map": 0.5, "gpu_percent": None, "seconds": 3.1}
    line = line_of(row)
    found = {d["Name"]: re.search(d["Regex"], line) for d in definitions()}
    assert float(found["swath:loss"][1]) == 7.3125
    assert float(found["swath:lr"][1]) == 1.25e-06
    assert float(found["swath:step"][1]) == 20
    assert found["swath:gpu_percent"] is None
    assert read_line(f"2026-01-01 {line}\n") == {"step": 20, "loss": 7.3125, "lr": 1.25e-06, "knn_map": 0.5}
    assert len(definitions()) <= 40


def test_every_step_is_said_once_also_when_the_file_is_cut_back(tmp_path):
    path, said = tmp_path / "metrics.jsonl", []
    rows = [f'{{"step": {step}, "loss": {step}.5}}\n' for step in range(1, 6)]
    path.write_text(rows[0])
    follower = Follower(path, said.append)
    follower.start()
    path.write_text("".join(rows[:4]) + rows[4][:7])
    time.sleep(1.3)
    path.write_text("".join(rows[:2]))
    time.sleep(1.3)
    path.write_text("".join(rows))
    follower.close()
    assert [read_line(line)["step"] for line in said] == [2, 3, 4, 5]
