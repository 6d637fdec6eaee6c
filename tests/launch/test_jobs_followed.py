"""What is done with jobs by their names: one that ended well, one that failed, and mistakes."""

import json
from dataclasses import replace

import boto3
import botocore.client
import pytest
from botocore.exceptions import EndpointConnectionError
from job_runner import REGION, RUNNING

import swath.sagemaker
from swath.cli import main
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.following import events
from swath.launch.sagemaker.found import find_job
from swath.runtime.run import Run

pytestmark = pytest.mark.usefixtures("aws")

STORE = "s3://bucket/followed"
ROLE = ("--role", "arn:aws:iam::123456789012:role/swath", "--store", STORE)


def asked(capsys, *words):
    """The last line of a command with --json."""
    capsys.readouterr()
    assert main(["sagemaker", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(capsys, *words):
    capsys.readouterr()
    code = main(["sagemaker", *words])
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


def ended(capsys, *words):
    """Send a job and wait for its end."""
    job = asked(capsys, *words, *ROLE)["job"]
    RUNNING[job].join(240)
    return job


_TRAINED = []  # one job serves all tests that only read what it left


@pytest.fixture
def trained(on_s3, tiny, capsys):
    if not _TRAINED:
        flags = (*tiny, "--steps", "6", "--instance", "ml.g5.2xlarge")
        _TRAINED.append(ended(capsys, "pretrain", on_s3, *flags))
    return _TRAINED[0]


def keys_below(prefix):
    listed = boto3.client("s3", region_name=REGION).list_objects_v2(Bucket="bucket", Prefix=prefix)
    return [item["Key"] for item in listed.get("Contents", [])]


def test_a_job_is_listed_said_drawn_priced_and_fetched(trained, packed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("swath.launch.sagemaker.following._LOOK_S", 0.1)
    about = asked(capsys, "status", trained)
    assert about["status"] == "Completed"
    assert about["metrics"]["swath:step"] == 6
    assert trained in [row["name"] for row in asked(capsys, "list")["jobs"]]
    said = asked(capsys, "logs", trained, "--follow")
    assert said["lines_said"] > 4
    drawn = asked(capsys, "plot", trained, "--out", str(tmp_path / "curves.png"))
    assert drawn["last_step"] == 6
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    cost = asked(capsys, "cost", trained)
    assert cost["usd"] == pytest.approx(cost["billable_s"] * 1.52 / 3600)
    asked(capsys, "results", trained, "--out", str(tmp_path / "run"))
    assert Run.open(tmp_path / "run").checkpoint().step == 6
    assert main(["report", str(tmp_path / "run"), "--tiles", str(packed), "--quiet"]) == 0


def test_cleanup_lists_first_and_deletes_only_what_was_counted(capsys):
    s3 = boto3.client("s3", region_name=REGION)
    for key in ("old/a/code/x.whl", "old/a/output/model/run/config.yaml", "old/b/code/x.whl"):
        s3.put_object(Bucket="bucket", Key=key, Body=b"12345")
    listed = asked(capsys, "cleanup", "s3://bucket/old")
    assert {row["job"]: (row["objects"], row["bytes"], row["parts"]) for row in listed["jobs"]} == {
        "a": (2, 10, {"code": 5, "output": 5}),
        "b": (1, 5, {"code": 5}),
    }
    wrong = ("cleanup", "s3://bucket/old", "--jobs", "a", "--delete", "--confirm", "3")
    code, line = refused(capsys, *wrong)
    assert (code, "2 objects are there now" in line) == (2, True)
    assert len(keys_below("old/")) == 3
    assert asked(capsys, *wrong[:-1], "2")["deleted"]
    assert keys_below("old/") == ["old/b/code/x.whl"]


def test_a_job_that_fails_says_why_in_words(on_s3, tiny, capsys):
    job = ended(capsys, "pretrain", on_s3, *tiny, "--steps", "6", "--init", "s3://bucket/tiles.lance")
    about = asked(capsys, "status", job)
    assert about["status"] == "Failed"
    assert "Traceback" not in about["reason"]
    assert "init" in about["reason"] or "weights" in about["reason"], about["reason"]


def test_what_a_failed_job_left_is_fetched_with_a_word_on_it(trained, tmp_path, monkeypatch, capsys):
    found = replace(find_job(Aws(REGION), trained), status="Failed", reason="out of memory")
    monkeypatch.setattr("swath.launch.sagemaker.following.find_job", lambda *_: found)
    assert main(["sagemaker", "results", trained, "--out", str(tmp_path / "run")]) == 0
    assert "failed, and this is what it had by then: out of memory" in capsys.readouterr().err


def test_a_job_whose_data_is_missing_fails_before_it_starts(tiny, capsys):
    job = ended(capsys, "pretrain", "s3://bucket/nothing.lance", *tiny, "--steps", "6")
    assert "no S3 objects" in asked(capsys, "status", job)["reason"]


@pytest.mark.parametrize(
    "words",
    [("status",), ("logs",), ("stop",), ("cost",), ("results", "--out", "x"), ("plot", "--out", "x.png")],
)
def test_an_unknown_job_is_named_with_the_command_that_lists_them(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = refused(capsys, words[0], "no-such-job", *words[1:])
    assert code == 2
    assert "no-such-job" in line
    assert "swath sagemaker list" in line
    assert not list(tmp_path.iterdir())


def test_a_name_in_use_is_refused_and_the_code_of_that_job_stays(on_s3, tiny, capsys):
    words = ("pretrain", on_s3, *tiny, "--steps", "2", "--job-name", "taken", *ROLE)
    asked(capsys, *words)
    start = {"Bucket": "bucket", "Key": "followed/taken/code/start.sh"}
    s3 = boto3.client("s3", region_name=REGION)
    s3.put_object(**start, Body=b"of the job that has the name")
    code, line = refused(capsys, *words)
    assert (code, "choose another --job-name" in line) == (2, True)
    assert s3.get_object(**start)["Body"].read() == b"of the job that has the name"


def test_following_outlives_a_lost_connection_without_losing_or_repeating_a_line(trained, monkeypatch):
    monkeypatch.setattr("swath.launch.sagemaker.following._LOOK_S", 0.1)
    said = list(events(Aws(REGION), trained, follow=False))
    call, asked = botocore.client.BaseClient._make_api_call, []

    def sometimes_lost(client, operation, parameters):
        asked.append(operation)
        if len(asked) % 3 == 0 and len(asked) < 20:
            raise EndpointConnectionError(endpoint_url="https://logs")
        return call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", sometimes_lost)
    assert list(events(Aws(REGION), trained, follow=True)) == said
    assert len(asked) > 20
    assert swath.sagemaker.attach(trained).wait(look_s=0.1).status == "Completed"


def test_a_missing_bucket_is_said_before_a_job_is_made(on_s3, capsys):
    code, line = refused(capsys, "pretrain", on_s3, *ROLE[:2], "--store", "s3://no-such-bucket/jobs")
    assert (code, "no such bucket" in line) == (2, True)


def test_no_credentials_are_said_in_a_line(monkeypatch, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    code, line = refused(capsys, "list")
    assert (code, "no AWS credentials" in line) == (5, True)


def test_no_region_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert "no AWS region" in refused(capsys, "list")[1]


def test_policies_allow_the_prefixes_named_and_no_more(capsys):
    policies = asked(
        capsys, "policy", "s3://jobs/swath", "--data", "s3://data/ben", "--role", "arn:aws:iam::1:role/swath"
    )
    caller, role = ({s["Sid"]: s for s in policies[name]["Statement"]} for name in ("caller", "role"))
    assert role["ReadObjects"]["Resource"] == [
        "arn:aws:s3:::jobs/swath", "arn:aws:s3:::jobs/swath/*",
        "arn:aws:s3:::data/ben", "arn:aws:s3:::data/ben/*",
    ]  # fmt: skip
    assert role["WriteObjects"]["Resource"] == ["arn:aws:s3:::jobs/swath", "arn:aws:s3:::jobs/swath/*"]
    assert caller["PassTheRole"]["Condition"]["StringEquals"] == {
        "iam:PassedToService": "sagemaker.amazonaws.com"
    }
    every = [*caller.values(), *role.values()]
    assert not [s for s in every if "*" in {a.partition(":")[2] for a in s["Action"]}]
    assert not [a for s in every for a in s["Action"] if a.startswith("ec2:")]
    in_vpc = asked(capsys, "policy", "s3://jobs/swath", "--vpc")["role"]["Statement"][-1]
    assert {"ec2:CreateNetworkInterfacePermission", "ec2:DescribeDhcpOptions"} < set(in_vpc["Action"])
    for_all = {s["Sid"] for s in every if s["Resource"] == "*"}
    assert for_all == {"ListJobs", "CheckQuotas", "LoginToRegistry", "WriteMetrics"}
