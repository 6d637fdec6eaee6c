"""A SageMaker of loopback for every test of this folder, and a pack on its S3."""

import boto3
import pytest
from job_runner import REGION, sagemaker_on_loopback
from s3_server import KEYS


@pytest.fixture(scope="session")
def sagemaker_url():
    with pytest.MonkeyPatch.context() as patched:
        for name, value in KEYS.items():
            patched.setenv(name, value)
        with sagemaker_on_loopback() as url:
            yield url


@pytest.fixture
def aws(sagemaker_url, monkeypatch):
    """The environment of somebody who may send jobs."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": sagemaker_url, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    return sagemaker_url


@pytest.fixture
def on_s3(aws, packed):
    """The shared pack as s3://bucket/tiles.lance."""
    client = boto3.client("s3", endpoint_url=aws, region_name=REGION)
    for path in sorted(packed.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"tiles.lance/{path.relative_to(packed)}")
    return "s3://bucket/tiles.lance"
