"""What AWS refuses of a job, each in one line with its exit code; and secrets, which never leave."""

import json
import subprocess
import sys

import botocore.client
import pytest
from botocore.exceptions import ClientError

from swath.cli import main
from swath.launch.sagemaker.aws import UnreachableError, in_words
from swath.launch.sagemaker.entry import _write_reason
from swath.launch.sagemaker.first_process import supervised

JOB = ("--role", "arn:aws:iam::123456789012:role/swath", "--store", "s3://bucket/jobs")
PRETRAIN = ("pretrain", "s3://bucket/tiles.lance", *JOB)
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 -- the example of AWS's documentation
NOT_PASSED = "User: arn:aws:iam::1:user/me is not authorized to perform: iam:PassRole on resource: role/swath"


@pytest.fixture
def refused(monkeypatch, capsys):
    """Answer one operation with an error; exit code and the one line that a command says."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    whole = botocore.client.BaseClient._make_api_call

    def refused(words, operation="", code="", message=""):
        def answered(client, asked, parameters):
            if "127.0.0.1" in client.meta.endpoint_url:  # a job that another test has left to itself
                return whole(client, asked, parameters)
            if asked == operation:
                raise ClientError({"Error": {"Code": code, "Message": message}}, asked)
            return {}

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", answered)
        exit_code = main(["sagemaker", *words])
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("swath: ")
        return exit_code, line

    return refused


ANSWERS = {
    "role not passable": (PRETRAIN, "CreateTrainingJob", "AccessDeniedException", NOT_PASSED, 5, "not pass"),
    "denied on one key": (PRETRAIN, "PutObject", "AccessDenied", "no", 5, "s3://bucket/jobs/"),
    "wrong region": (PRETRAIN, "PutObject", "PermanentRedirect", "", 2, "in another region; give"),
    "bucket missing": (PRETRAIN, "PutObject", "NoSuchBucket", "", 2, "no such bucket"),
    "expired while sent": (PRETRAIN, "CreateTrainingJob", "ExpiredTokenException", "", 5, "has expired"),
    "expired while followed": (
        ("logs", "a-job", "--follow"), "DescribeTrainingJob", "ExpiredTokenException", "", 5, "log in again",
    ),
    "unknown keys": (PRETRAIN, "PutObject", "InvalidAccessKeyId", "", 5, "look at AWS_PROFILE"),
    "name in use": (PRETRAIN, "CreateTrainingJob", "ResourceInUse", "", 2, "choose another --job-name"),
    "quota": (PRETRAIN, "CreateTrainingJob", "ResourceLimitExceeded", "0 are allowed.", 5, "Service Quotas"),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_what_aws_refuses_is_one_line(refused, case):
    words, operation, code, message, exit_code, said = case
    found, line = refused(words, operation, code, message)
    assert (found, said in line) == (exit_code, True), line


def test_a_server_in_trouble_is_a_line_and_no_refusal():
    page = "<!doctype html>\n<title>500 Internal Server Error</title>\n"
    answer = {"Error": {"Code": page, "Message": page}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    said = in_words("quotas", ClientError(answer, "ListServiceQuotas"))
    assert isinstance(said, UnreachableError)
    assert str(said) == "quotas: AWS answers 500; try again later"


SECRETS = {
    "environment": (
        ("--environment", f"AWS_SECRET_ACCESS_KEY={SECRET}"),
        "Environment.AWS_SECRET_ACCESS_KEY",
    ),
    "named like one": (("--environment", "HF_TOKEN=hf_short"), "Environment.HF_TOKEN"),
    "tag": (("--tags", "key=AKIAIOSFODNN7EXAMPLE"), "Tags.Value"),
}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["sent", "dry run"])
@pytest.mark.parametrize(("flags", "place"), SECRETS.values(), ids=SECRETS)
def test_a_job_that_would_show_a_secret_is_refused_and_does_not_print_it(refused, flags, place, dry):
    code, line = refused((*PRETRAIN, *flags, *dry))
    assert (code, place in line) == (2, True)
    assert flags[1].split("=")[1] not in line


def test_log_and_failure_of_a_job_hold_no_secret(tmp_path, capsys):
    signed = f"https://bucket/a?X-Amz-Signature={SECRET}"
    code, last = supervised([sys.executable, "-c", f"print('swath: {signed}'); raise SystemExit(3)"])
    assert code == 3
    _write_reason(tmp_path, last)
    for text in (capsys.readouterr().out, (tmp_path / "output/failure").read_text()):
        assert "X-Amz-Signature=[secret]" in text
        assert SECRET not in text


def test_what_a_command_says_of_a_password_in_an_address_is_without_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["index", f"https://me:{SECRET}@host/a.tif", "--out", "i.parquet", "--json"]) == 2
    output = capsys.readouterr()
    assert SECRET not in output.out + output.err
    assert json.loads(output.out.splitlines()[-1])["exit_code"] == 2


DRY = (
    "pretrain s3://bucket/t.lance --role arn:aws:iam::123456789012:role/x --store s3://bucket/j --dry-run "
    "--region us-east-1"
)


@pytest.mark.parametrize(
    ("words", "also"),
    [("--help", {"boto3", "botocore"}), ("pretrain --help", {"boto3", "botocore"}), (DRY, set())],
    ids=["help", "help on one", "sent"],
)
def test_help_on_jobs_and_sending_one_import_nothing_heavy(words, also):
    heavy = {"torch", "pyarrow", "lance", "rasterio", *also}
    code = (
        "import sys, time; from swath.cli import main; "
        f"assert main(['sagemaker', *{words.split()!r}]) == 0; found = {heavy} & set(sys.modules); "
        "sys.exit(f'{found} after {time.process_time():.2f} s' if found or time.process_time() > 1.5 else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
