"""Whether an account is ready for jobs, found out by reading alone: nothing is made, changed or sent."""

from collections.abc import Callable, Iterator
from typing import Any

from swath.errors import SwathError, UsageError
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.tables import choose_image, read_tables
from swath.location import S3Path

_OK = "OK"
_NO_STORE = "could not be checked: name the prefix of your jobs, --store s3://BUCKET/PREFIX"
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def readiness(store: S3Path | None, *, instance: str, region: str | None) -> dict[str, str]:
    """What was looked at -> "OK: ...", "not: ..." or "could not be checked: ...", each with what to do next.

    Raises:
        UsageError: boto3 is not installed, or no region is known.
    """
    aws = Aws(region)
    found = {"identity": _said(lambda: _identity(aws))}
    if not found["identity"].startswith(_OK):
        return found
    found["bucket"] = _NO_STORE if store is None else _said(lambda: _bucket(aws, store))
    found["public access"] = _NO_STORE if store is None else _said(lambda: _public_access(aws, store))
    found["quota"] = _said(lambda: _quota(aws, instance))
    found["image"] = _said(lambda: _image(aws, instance))
    return found


def _said(look: Callable[[], str]) -> str:
    """What a look says; where AWS refuses the question itself, nothing is known."""
    try:
        return look()
    except UsageError as error:
        return f"not: {error}"
    except SwathError as error:
        return f"could not be checked: {error}"


def _identity(aws: Aws) -> str:
    with aws.errors("identity"):
        about = aws.client("sts").get_caller_identity()
    return f"{_OK}: {about['Arn']} in {aws.region}"


def _bucket(aws: Aws, store: S3Path) -> str:
    """There, in the region of the jobs, and its prefix can be listed; writing is not tried."""
    client = aws.client("s3")
    with aws.errors(f"s3://{store.bucket}"):
        prefix = f"{store.key}/" if store.key else ""
        answer = client.list_objects_v2(Bucket=store.bucket, Prefix=prefix, MaxKeys=1)
    region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", aws.region)
    if region != aws.region:
        return (
            f"not: s3://{store.bucket} is in {region}, jobs would be in {aws.region}; give --region {region}"
        )
    return f"{_OK}: {store} can be listed (that it can be written is seen when a job is sent)"


def _public_access(aws: Aws, store: S3Path) -> str:
    client, block = aws.client("s3"), {}
    with aws.errors(f"public access of s3://{store.bucket}"):
        try:
            block = client.get_public_access_block(Bucket=store.bucket)["PublicAccessBlockConfiguration"]
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchPublicAccessBlockConfiguration":
                raise
    open_ = [name for name in _BLOCKS if not block.get(name)]
    if not open_:
        return f"{_OK}: all of it is blocked"
    return (
        f"not: {', '.join(open_)} off; block it: aws s3api put-public-access-block --bucket {store.bucket} "
        f"--public-access-block-configuration {','.join(f'{name}=true' for name in _BLOCKS)}"
    )


def _quota(aws: Aws, instance: str) -> str:
    kinds = {"training": "on demand", "spot training": "spot", "processing": "for embed and predict"}
    names = {f"{instance} for {kind} job usage": said for kind, said in kinds.items()}
    with aws.errors("quotas"):
        values = {row["QuotaName"]: row["Value"] for row in _quotas(aws) if row["QuotaName"] in names}
    if not values:
        return f"not: there is no quota of {instance} in {aws.region}; look for another --instance"
    words = ", ".join(f"{values.get(name, 0):g} {said}" for name, said in names.items())
    if not any(values.values()):
        return (
            f"not: {instance} {words}; ask under Service Quotas, Amazon SageMaker, "
            f'for "{next(iter(names))}", or take another --instance'
        )
    return f"{_OK}: {instance} {words}"


def _quotas(aws: Aws) -> Iterator[dict[str, Any]]:
    pages = aws.client("service-quotas").get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode="sagemaker"):
        yield from page["Quotas"]


def _image(aws: Aws, instance: str) -> str:
    uri = choose_image(None, instance=instance, region=aws.region, tables=read_tables()).uri
    host, _, name = uri.partition("/")
    repository, _, tag = name.partition(":")
    with aws.errors(f"image {uri}"):
        answer = aws.client("ecr").batch_get_image(
            registryId=host.partition(".")[0], repositoryName=repository, imageIds=[{"imageTag": tag}]
        )
    if not answer["images"]:
        return f"not: the registry has no {uri}; name another with --image, or in a table with --tables"
    return f"{_OK}: {uri}"
