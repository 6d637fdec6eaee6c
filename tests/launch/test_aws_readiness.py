"""`swath doctor --aws`: what it says of an account, and that it only reads."""

import json

import botocore.client
import pytest
from botocore.exceptions import ClientError
from job_runner import REGION

from swath.cli import main

READS = {
    "GetCallerIdentity", "ListObjectsV2", "GetPublicAccessBlock", "ListServiceQuotas",
    "BatchGetImage",
}  # fmt: skip
IMAGE = {"images": [{"imageId": {"imageTag": "2.13"}}], "failures": []}
DENIED = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)


def quotas(on_demand, spot):
    rows = {
        "ml.g5.xlarge for training job usage": on_demand,
        "ml.g5.xlarge for spot training job usage": spot,
        "ml.g5.xlarge for processing job usage": 0.0,
    }
    return {"Quotas": [{"QuotaName": name, "Value": value} for name, value in rows.items()]}


@pytest.fixture
def doctor(aws, monkeypatch, capsys):  # noqa: ARG001 -- its environment
    """What `doctor --aws` says and which calls it made; `answers` stand for services that moto lacks."""
    send = botocore.client.BaseClient._make_api_call

    def doctor(*words, **answers):
        calls, answers = [], {"ListServiceQuotas": quotas(4.0, 0.0), "BatchGetImage": IMAGE, **answers}

        def answered(client, operation, parameters):
            calls.append(operation)
            answer = answers.get(operation)
            if answer is None:
                return send(client, operation, parameters)
            if "Error" in answer:
                raise ClientError(answer, operation)
            return answer

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", answered)
        assert main(["doctor", "--aws", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])["aws"], calls

    return doctor


def test_an_account_that_is_ready_is_said_to_be_so_by_reading_alone(doctor):
    said, calls = doctor(
        "--store", "s3://bucket/jobs", GetPublicAccessBlock={"PublicAccessBlockConfiguration": BLOCKED}
    )
    assert [line.partition(":")[0] for line in said.values()] == ["OK"] * 5, said
    assert set(calls) == READS
    assert said["identity"].endswith(f" in {REGION}")
    assert said["quota"] == "OK: ml.g5.xlarge 4 on demand, 0 spot, 0 for embed and predict"


def test_what_is_missing_comes_with_what_to_do(doctor):
    said, calls = doctor(
        "--store", "s3://bucket/jobs",
        GetPublicAccessBlock={"PublicAccessBlockConfiguration": {**BLOCKED, "BlockPublicPolicy": False}},
        ListServiceQuotas=quotas(0.0, 0.0), BatchGetImage={"images": [], "failures": [{}]},
    )  # fmt: skip
    assert said["public access"].startswith(
        "not: BlockPublicPolicy off; block it: aws s3api put-public-access"
    )
    assert "ask under Service Quotas" in said["quota"]
    assert said["image"].startswith("not: the registry has no ")
    assert set(calls) == READS


def test_a_bucket_without_a_block_is_open(doctor):
    none = {"Error": {"Code": "NoSuchPublicAccessBlockConfiguration", "Message": "none"}}
    said, _ = doctor("--store", "s3://bucket/jobs", GetPublicAccessBlock=none)
    assert said["public access"].startswith("not: BlockPublicAcls, IgnorePublicAcls")


def test_a_bucket_that_is_missing_or_elsewhere_is_named(doctor):
    assert doctor("--store", "s3://no-such-bucket/jobs")[0]["bucket"].startswith("not: s3://no-such-bucket:")
    elsewhere = {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "eu-west-1"}}}
    said, _ = doctor("--store", "s3://bucket/jobs", ListObjectsV2=elsewhere)
    assert said["bucket"].endswith("give --region eu-west-1")


def test_what_may_not_be_asked_could_not_be_checked(doctor):
    said, _ = doctor(
        GetPublicAccessBlock=DENIED, ListServiceQuotas=DENIED, BatchGetImage=DENIED, ListObjectsV2=DENIED
    )
    assert said.pop("identity").startswith("OK")
    assert {line.partition(":")[0] for line in said.values()} == {"could not be checked"}
    said, _ = doctor("--store", "s3://bucket/jobs", ListObjectsV2=DENIED, GetPublicAccessBlock=DENIED)
    assert "swath sagemaker policy" in said["bucket"]
    assert said["public access"].startswith("could not be checked")


def test_without_an_identity_nothing_else_is_asked(doctor):
    said, calls = doctor(GetCallerIdentity={"Error": {"Code": "ExpiredToken", "Message": "expired"}})
    assert list(said) == ["identity"]
    assert "log in again" in said["identity"]
    assert calls == ["GetCallerIdentity"]


def test_settings_of_aws_without_it_are_refused(capsys):
    assert main(["doctor", "--region", "eu-west-1"]) == 2
    assert "--region changes nothing without --aws" in capsys.readouterr().err
