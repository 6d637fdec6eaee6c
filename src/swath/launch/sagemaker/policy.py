"""IAM policies that allow what swath asks AWS for, and nothing else; printed, never created."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swath.config.sagemaker import PolicyConfig
from swath.launch.sagemaker.found import LOG_GROUPS
from swath.launch.sagemaker.tables import read_tables
from swath.location import S3Path
from swath.results import Result

_JOBS = ("arn:aws:sagemaker:{region}:*:training-job/*", "arn:aws:sagemaker:{region}:*:processing-job/*")


@dataclass(frozen=True)
class Policies(Result):
    """Policy documents: of whoever sends jobs, of the role they run as, and whom that role trusts."""

    caller: dict[str, Any]
    role: dict[str, Any]
    trust: dict[str, Any]

    def lines(self) -> list[str]:
        return [
            line
            for title, document in (
                ("# policy of the caller, who sends and follows jobs", self.caller),
                ("# policy of the role that jobs run as", self.role),
                ("# trust policy of that role", self.trust),
            )
            for line in (title, *json.dumps(document, indent=2).splitlines(), "")
        ]


def policy(config: PolicyConfig) -> Policies:
    """Policies for jobs that keep to the prefixes named."""
    store = config.store
    assert isinstance(store, S3Path), "settings refuse anything else"
    read = [store, *_on_s3(config.data), *_on_s3(config.write)]
    write = [store, *_on_s3(config.write)]
    region = config.region or "*"
    return Policies(
        caller=_document(
            *_s3(read=[store], write=[store], delete=[store]),
            _allow("FollowJobs", _JOB_ACTIONS, [arn.format(region=region) for arn in _JOBS]),
            _allow("ListJobs", _LIST_ACTIONS, "*"),
            _allow("ReadLogs", ["logs:DescribeLogStreams", "logs:GetLogEvents"], _log_groups(region)),
            _allow("CleanUpLogs", ["logs:DeleteLogStream"], _log_groups(region)),
            _allow("CheckBucket", ["s3:GetBucketPublicAccessBlock"], f"arn:aws:s3:::{store.bucket}"),
            _allow("CheckQuotas", ["servicequotas:ListServiceQuotas"], "*"),
            _allow("CheckImage", ["ecr:BatchGetImage"], _repositories(region)),
            _pass_role(config.role),
            *_kms(config.kms_key),
        ),
        role=_document(
            *_s3(read=read, write=write, delete=[]),
            _allow("WriteLogs", _LOG_ACTIONS, _log_groups(region)),
            _metrics(),
            _allow("PullImage", _PULL, _repositories(region)),
            _allow("LoginToRegistry", ["ecr:GetAuthorizationToken"], "*"),
            *([_allow("JoinNetwork", _NETWORK, "*")] if config.vpc else []),
            *_kms(config.kms_key),
        ),
        trust=_document(
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ),
    )


_JOB_ACTIONS = [
    *(
        f"sagemaker:{do}{kind}Job"
        for kind in ("Training", "Processing")
        for do in ("Create", "Describe", "Stop")
    ),
    "sagemaker:AddTags",
]
_LIST_ACTIONS = [
    "sagemaker:ListTrainingJobs",
    "sagemaker:ListProcessingJobs",
]
_LOG_ACTIONS = [
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogStreams",
    "logs:PutLogEvents",
]
_NETWORK = [
    *(f"ec2:{do}NetworkInterface{of}" for do in ("Create", "Delete") for of in ("", "Permission")),
    *(
        f"ec2:Describe{what}"
        for what in ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    ),
]
_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(name: str, actions: list[str], resources: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources, **more}


def _s3(*, read: list[S3Path], write: list[S3Path], delete: list[S3Path]) -> Iterable[dict[str, Any]]:
    """Listing is of a bucket, limited by a condition; the rest is of objects below the prefixes."""
    for bucket in sorted({path.bucket for path in read}):
        keys = [path.key for path in read if path.bucket == bucket]
        prefixes = [pattern for key in keys for pattern in (key, f"{key}/*")] if all(keys) else ["*"]
        yield _allow(
            f"List{_name(bucket)}",
            ["s3:ListBucket"],
            f"arn:aws:s3:::{bucket}",
            Condition={"StringLike": {"s3:prefix": prefixes}},
        )
    yield _allow("ReadObjects", ["s3:GetObject"], _objects(read))
    yield _allow("WriteObjects", ["s3:PutObject", "s3:AbortMultipartUpload"], _objects(write))
    if delete:
        yield _allow("CleanUp", ["s3:DeleteObject"], _objects(delete))


def _objects(paths: list[S3Path]) -> list[str]:
    return [
        f"arn:aws:s3:::{path.bucket}/{tail}"
        for path in paths
        for tail in ((path.key, f"{path.key}/*") if path.key else ("*",))
    ]


def _pass_role(role: str) -> dict[str, Any]:
    condition = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return _allow(
        "PassTheRole", ["iam:PassRole"], role or "arn:aws:iam::ACCOUNT:role/ROLE", Condition=condition
    )


def _metrics() -> dict[str, Any]:
    condition = {"StringEquals": {"cloudwatch:namespace": list(LOG_GROUPS.values())}}
    return _allow("WriteMetrics", ["cloudwatch:PutMetricData"], "*", Condition=condition)


def _kms(key: str | None) -> list[dict[str, Any]]:
    if key is None:
        return []
    actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"]
    return [_allow("UseKey", actions, key if key.startswith("arn:") else f"arn:aws:kms:*:*:key/{key}")]


def _log_groups(region: str) -> list[str]:
    groups = [f"arn:aws:logs:{region}:*:log-group:{group}" for group in LOG_GROUPS.values()]
    return [arn for group in groups for arn in (group, f"{group}:*")]


def _repositories(region: str) -> list[str]:
    tables = read_tables()
    account = tables["accounts"].get(region, tables["accounts"]["default"])
    names = sorted({row[kind].partition(":")[0] for row in tables["images"] for kind in ("gpu", "cpu")})
    return [f"arn:aws:ecr:{region}:{account}:repository/{name}" for name in names]


def _on_s3(paths: Iterable[object]) -> list[S3Path]:
    return [path for path in paths if isinstance(path, S3Path)]


def _name(bucket: str) -> str:
    """Statement ids are letters and digits."""
    return "".join(part.capitalize() for part in bucket.replace(".", "-").split("-"))
