"""The request of a job: against a recorded one, and against botocore's own model of CreateTrainingJob."""

import json
import re
from pathlib import Path

import boto3
import pytest
from botocore.validate import ParamValidator

from swath.cli import main

RECORDED = Path(__file__).parent
JOB = (
    "--role",
    "arn:aws:iam::123456789012:role/swath",
    "--store",
    "s3://bucket/jobs",
    "--dry-run",
    "--json",
)
RECIPE = (
    "pretrain", "s3://bucket/ben/tiles.lance", "--preset", "paper", "--epochs", "100",
    "--batch-size", "512", "--instance", "ml.p4d.24xlarge", "--count", "2",
    "--spot", "--max-hours", "12", "--max-wait-hours", "36",
    "--job-name", "ben-dino", "--tags", "project=ben,team=eo", "--environment", "NCCL_DEBUG=INFO",
    "--subnets", "subnet-0123abcd", "--security-groups", "sg-0123abcd", "--kms-key", "1234abcd-12ab",
)  # fmt: skip
LOOK = (
    "predict", "s3://bucket/bundle", "s3://bucket/scenes", "s3://bucket/june.tif", "--count", "8",
    "--overlap", "0", "--max-hours", "6", "--job-name", "look", "--tags", "project=ben",
    "--subnets", "subnet-0123abcd", "--security-groups", "sg-0123abcd", "--kms-key", "1234abcd-12ab",
)  # fmt: skip
MORE = (
    ("probe", "s3://bucket/run", "s3://bucket/tiles.lance", "--task", "knn", "--input", "FastFile"),
    ("embed", "s3://bucket/run", "s3://bucket/tiles.lance", "--input", "direct", "--count", "4"),
    ("pack", "s3://bucket/index.parquet", "--out", "s3://bucket/t.lance", "--instance", "ml.m5.4xlarge"),
    ("ladder", "s3://bucket/t.lance", "--runs", "s3://bucket/a,s3://bucket/b"),
    ("pretrain", "s3://bucket/t.lance", "--input", "direct", "--keep-alive-minutes", "30"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def request_of(capsys, *words):
    assert main(["sagemaker", *words, *JOB]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])["request"]


@pytest.mark.parametrize(("words", "name"), [(RECIPE, "recipe_request.json"), (LOOK, "predict_request.json")])
def test_the_request_is_the_recorded_one(capsys, words, name):
    assert request_of(capsys, *words) == json.loads((RECORDED / name).read_text())


def shape_of(operation):
    return boto3.client("sagemaker").meta.service_model.operation_model(operation).input_shape


@pytest.mark.parametrize("words", [RECIPE, LOOK, *MORE], ids=lambda words: words[0])
def test_a_request_keeps_every_field_limit_and_pattern_of_botocores_model(capsys, words):
    is_training = words[0] not in {"predict", "embed"}
    shape = shape_of("CreateTrainingJob" if is_training else "CreateProcessingJob")
    request = request_of(capsys, *words)
    assert ParamValidator().validate(request, shape).generate_report() == ""
    assert not list(broken(request, shape))


def broken(value, shape, at="request"):
    """What botocore itself leaves to the server: upper limits, patterns and choices, at every depth."""
    most = shape.metadata.get("max")
    if most is not None and (value if shape.type_name in {"integer", "long"} else len(value)) > most:
        yield at, value, most
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from broken(inner, shape.members[name], f"{at}.{name}")
    elif shape.type_name == "list":
        for item in value:
            yield from broken(item, shape.member, at)
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from broken(key, shape.key, f"{at}.{key}")
            yield from broken(item, shape.value, f"{at}.{key}")
    elif shape.type_name == "string":
        yield from broken_text(value, shape, at)


def broken_text(value, shape, at):
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(_of_python(pattern), value):
        yield at, value, pattern
    if shape.enum and value not in shape.enum:
        yield at, value, shape.enum


def _of_python(pattern):
    """Letters, numbers and spaces as Python writes them; ASCII will do here."""
    return pattern.replace(r"\p{L}", "a-zA-Z").replace(r"\p{N}", "0-9").replace(r"\p{Z}", " ")


def test_the_check_would_see_a_wrong_name_and_a_long_word():
    shape = shape_of("CreateTrainingJob")
    assert list(broken({"TrainingJobName": "no_underscores"}, shape))
    assert list(broken({"AlgorithmSpecification": {"ContainerEntrypoint": ["x" * 257]}}, shape))


@pytest.mark.parametrize("words", MORE, ids=lambda words: words[0])
def test_channels_have_no_hyphens_which_clients_of_aws_cannot_make_variables_of(capsys, words):
    request = request_of(capsys, *words)
    names = [c["ChannelName"] for c in request.get("InputDataConfig", [])]
    names += [c["InputName"] for c in request.get("ProcessingInputs", [])]
    assert names
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)


def test_every_channel_says_its_own_input_mode(capsys):
    request = request_of(capsys, *MORE[0])
    assert {c["ChannelName"]: c["InputMode"] for c in request["InputDataConfig"]} == {
        "run": "FastFile", "tiles": "FastFile", "code": "File",
    }  # fmt: skip


def test_a_folder_on_s3_is_asked_for_with_a_slash_and_a_file_without(capsys):
    places = [
        c["DataSource"]["S3DataSource"]["S3Uri"] for c in request_of(capsys, *MORE[2])["InputDataConfig"]
    ]
    assert places[0] == "s3://bucket/index.parquet"
    assert request_of(capsys, *RECIPE)["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].endswith(
        "tiles.lance/"
    )


def test_what_swath_reads_itself_is_no_channel_when_input_is_direct(capsys):
    request = request_of(capsys, *MORE[4])
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["code"]
    assert request["HyperParameters"]["tiles"] == "s3://bucket/t.lance"


def test_an_index_says_where_files_are_on_s3_and_not_in_the_container_that_made_it(capsys):
    request = request_of(
        capsys, "index", "s3://bucket/raw", "--labels", "s3://bucket/l.csv", "--out", "s3://bucket/i.parquet"
    )
    assert [channel["ChannelName"] for channel in request["InputDataConfig"]] == ["labels", "code"]
    assert request["HyperParameters"]["source"] == "s3://bucket/raw"


def test_machines_share_scenes_by_key_and_get_all_else_whole(capsys):
    inputs = {i["InputName"]: i["S3Input"] for i in request_of(capsys, *LOOK)["ProcessingInputs"]}
    assert {name: given["S3DataDistributionType"] for name, given in inputs.items()} == {
        "bundle": "FullyReplicated", "scenes0": "ShardedByS3Key", "scenes1": "ShardedByS3Key",
        "code": "FullyReplicated",
    }  # fmt: skip


def test_tiles_read_from_s3_are_no_input_and_their_address_is_an_argument(capsys):
    request = request_of(capsys, *MORE[1])
    assert [given["InputName"] for given in request["ProcessingInputs"]] == ["code"]
    assert "run=s3://bucket/run" in request["AppSpecification"]["ContainerArguments"]
    assert "tiles=s3://bucket/tiles.lance" in request["AppSpecification"]["ContainerArguments"]


def test_a_dry_run_of_a_processing_job_says_its_price_and_its_own_quota(capsys):
    assert main(["sagemaker", *LOOK, *JOB]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["usd_most"] == pytest.approx(1.41 * 8 * 6)
    assert said["quota"] == "ml.g5.xlarge for processing job usage: 8"


def test_a_dry_run_says_size_price_and_quota(capsys):
    rate = ("--images", "28000000", "--images-per-s", "2000")
    assert main(["sagemaker", *RECIPE, *rate, *JOB]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["usd_most"] == pytest.approx(25.25 * 2 * 12)
    assert said["usd_expected"] == pytest.approx(25.25 * 2 * 28_000_000 / 2000 / 3600)
    assert said["quota"] == "ml.p4d.24xlarge for spot training job usage: 2"
    assert 100_000 < sum(said["code"].values()) < 5_000_000


TILES = "s3://bucket/tiles.lance"
WRONG = {
    "no role": (("pretrain", TILES, "--store", "s3://bucket/j"), "--role is missing"),
    "role is a name": (("pretrain", TILES, "--role", "me", "--store", "s3://bucket/j"), "expected an ARN"),
    "no store": (("pretrain", TILES, "--role", "arn:aws:iam::1:role/x"), "--store is missing"),
    "local store": (("pretrain", TILES, "--store", "jobs"), "expected s3://BUCKET/PREFIX"),
    "local tiles": (("pretrain", "tiles.lance", *JOB), "is on this machine"),
    "unknown flag": (("pretrain", TILES, "--prest", "demo", *JOB), 'Did you mean "--preset"?'),
    "stage refuses": (("pretrain", TILES, "--steps", "2", "--epochs", "2", *JOB), "one of"),
    "spot without wait": (("pretrain", TILES, "--spot", *JOB), "--spot needs --max-wait-hours"),
    "wait too short": (("pretrain", TILES, "--spot", "--max-wait-hours", "3", *JOB), "is less than"),
    "wait without spot": (("pretrain", TILES, "--max-wait-hours", "30", *JOB), "changes nothing"),
    "warm spot": (
        ("pretrain", TILES, "--spot", "--max-wait-hours", "30", "--keep-alive-minutes", "5", *JOB),
        "not kept",
    ),
    "V100": (("pretrain", TILES, "--instance", "ml.p3.16xlarge", *JOB), "take ml.g5, ml.g6"),
    "unknown image": (("pretrain", TILES, "--image", "2.1", *JOB), "the table has PyTorch 2.12, 2.13"),
    "name": (("pretrain", TILES, "--job-name", "big_earth", *JOB), "--job-name big_earth"),
    "output inside input": (
        ("pretrain", TILES, "--role", "arn:aws:iam::1:role/x", "--store", f"{TILES}/jobs"), "lies within",
    ),
    "output inside what is read directly": (
        (
            "predict", "s3://bucket/bundle", "s3://bucket/scenes", "--input", "direct",
            "--role", "arn:aws:iam::1:role/x", "--store", "s3://bucket/scenes/jobs",
        ),
        "lies within s3://bucket/scenes,",
    ),
    "checkpoints inside input": (
        ("pretrain", TILES, "--checkpoints", f"{TILES}/run", *JOB), f"--checkpoints {TILES}/run lies within",
    ),
    "index inside archive": (
        ("index", "s3://bucket/raw", "--out", "s3://bucket/raw/index.parquet", *JOB), "--out s3://bucket/raw/",
    ),
    "tag": (("pretrain", TILES, "--tags", "ben", *JOB), "expected NAME=VALUE"),
    "long value": (
        ("index", TILES, "--out", TILES, "--label-column", "x" * 2501, *JOB), "SageMaker takes 2,500",
    ),
    "role": (("pretrain", TILES, "--role", "arn:aws:iam::1:user/x", *JOB[2:]), "RoleArn"),
    "long variable": (("pretrain", TILES, "--environment", f"A={'x' * 513}", *JOB), "513 characters"),
    "instance": (("pretrain", TILES, "--instance", "ml.g5.3xlarge", *JOB), 'Did you mean "ml.g5.'),
    "half a VPC": (("pretrain", TILES, "--subnets", "subnet-1", *JOB), "go together"),
    "half an estimate": (("pretrain", TILES, "--images", "5", *JOB), "go together"),
    "spot look": (
        ("predict", TILES, TILES, "--spot", "--max-wait-hours", "30", *JOB), "--spot: predict is a processing"
    ),
    "warm look": (("embed", TILES, TILES, "--keep-alive-minutes", "5", *JOB), "--keep-alive-minutes: embed"),
    "streamed look": (("embed", TILES, TILES, "--input", "FastFile", *JOB), "leave it out, or say direct"),
    "part of a share": (("embed", TILES, TILES, "--count", "2", "--part", "1/2", *JOB), "leave --part out"),
    "GPU for training alone": (
        ("predict", TILES, TILES, "--instance", "ml.p4d.24xlarge", *JOB), "is none that AWS knows",
    ),
    "a long address": (("predict", TILES, TILES, "--bands", "B" * 250, *JOB), "takes 256"),
    "two machines to probe": (("probe", TILES, TILES, "--count", "2", *JOB), "runs on one machine"),
    "word": (("pretrian", TILES), 'Did you mean "pretrain"?'),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_a_job_that_cannot_be_is_refused_in_one_line_before_anything_is_sent(words, said, capsys):
    assert main(["sagemaker", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert any(said in line for line in lines), lines
    assert all(line.startswith("swath: ") for line in lines)
