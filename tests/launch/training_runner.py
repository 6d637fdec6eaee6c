"""One training job on loopback: a process that gets the container contract.

It downloads its channels and checkpoints, finds the JSON files of a container, runs the entrypoint it asked
for, is stopped by SIGTERM to its first process alone, and has its checkpoints, its model, its log and its
metrics copied where SageMaker copies them. pip is replaced by unpacking the wheel that was sent, so the job
runs the code that was shipped.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3
from moto.core.utils import utcnow

from swath.augment import kernels

GROUP = "/aws/sagemaker/TrainingJobs"
GRACE_S = 20.0
REGION = "us-east-1"
_AUGMENT = Path(kernels.__file__).parent
# What the kernels were compiled to here, ten seconds of work, is kept by the time of their source.
_COMPILED = """there="$SHIPPED/swath/augment"
    touch -r "{augment}/kernels.py" "$there/kernels.py" && mkdir "$there/__pycache__" &&
        cp "{augment}"/__pycache__/kernels.*.nb[ic] "$there/__pycache__" 2> /dev/null"""
_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
    for wheel; do :; done
    {python} -m zipfile -e "$wheel" "$SHIPPED" || exit
    {compiled}
    exit 0
fi
PYTHONPATH="$SHIPPED" exec {python} "$@"
"""


class RunningJob(threading.Thread):
    """One training job as a local process."""

    group, host = GROUP, "algo-1"

    def __init__(self, name, job, request, url):
        super().__init__(daemon=True, name=name)
        self.job, self.request, self.url = job, request, url
        self.process = None
        self.why_stopped = None
        self.base = Path(tempfile.mkdtemp(prefix="opt-ml-"))

    def run(self):
        try:
            self._phase("InProgress", "Downloading")
            self._fill()
            self._phase("InProgress", "Training")
            code = self._work()
            self._phase("InProgress", "Uploading")
            self._copy_out()
            self._end(code)
        except RuntimeError as error:
            self.job.failure_reason = str(error)
            self._phase("Failed", "Failed")
        finally:
            shutil.rmtree(self.base, ignore_errors=True)

    def stop(self, why="Stopped"):
        """SIGTERM to the first process alone; what is left after the grace is killed."""
        self.why_stopped = why
        self._phase("Stopping", "Stopping")
        if self.process and self.process.poll() is None:
            os.kill(self._first_process(), signal.SIGTERM)
            threading.Timer(GRACE_S, self.kill).start()

    def kill(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _phase(self, status, secondary):
        self.job.training_job_status, self.job.secondary_status = status, secondary

    def _client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name=REGION)

    def _folder(self, name):
        (self.base / name).mkdir(parents=True, exist_ok=True)
        return self.base / name

    def _fill(self):
        channels = {}
        for channel in self.request.get("InputDataConfig", []):
            uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
            if not self._download(uri, self._folder(f"input/data/{channel['ChannelName']}")):
                raise RuntimeError(f"ClientError: Data download failed: no S3 objects found under {uri}")
            of_job = self.request["AlgorithmSpecification"]["TrainingInputMode"]
            channels[channel["ChannelName"]] = {"TrainingInputMode": channel.get("InputMode", of_job)}
        checkpoints = self.request.get("CheckpointConfig")
        self._folder("checkpoints")
        if checkpoints:
            self._download(checkpoints["S3Uri"].rstrip("/") + "/", self.base / "checkpoints")
        config = self._folder("input/config")
        machines = self.request["ResourceConfig"]
        hosts = [f"algo-{number + 1}" for number in range(machines["InstanceCount"])]
        host = {"current_host": hosts[0], "hosts": hosts, "network_interface_name": "lo"}
        host["current_instance_type"] = machines["InstanceType"]
        for name, value in (
            ("hyperparameters", self.request.get("HyperParameters", {})),
            ("inputdataconfig", channels),
            ("resourceconfig", host),
        ):
            (config / f"{name}.json").write_text(json.dumps(value))
        for name in ("model", "output/data"):
            self._folder(name)

    def _download(self, uri, folder):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        s3, count = self._client("s3"), 0
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                inside = item["Key"][len(prefix) :].lstrip("/") or item["Key"].rpartition("/")[2]
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, item["Key"], str(target))
                count += 1
        return count

    def _work(self):
        self.process = subprocess.Popen(
            self._command(), cwd=self.base, env=self._environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        if self.why_stopped:
            os.kill(self._first_process(), signal.SIGTERM)
        limit = self.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        timer = threading.Timer(limit, self.stop, ("MaxRuntimeExceeded",))
        timer.start()
        with self.process:
            self._listen()
        timer.cancel()
        return self.process.returncode

    def _command(self):
        what = self.request["AlgorithmSpecification"]
        return self._placed([*what["ContainerEntrypoint"], *what.get("ContainerArguments", [])])

    def _placed(self, words):
        return [word.replace("/opt/ml", str(self.base)) for word in words]

    def _first_process(self):
        return self.process.pid

    def _environment(self):
        shim = self._folder("bin") / "python3"
        shim.write_text(_PYTHON.format(python=sys.executable, compiled=_COMPILED.format(augment=_AUGMENT)))
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
        keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return {
            "PATH": f"{shim.parent}:/usr/bin:/bin",
            "HOME": str(self.base),
            "SHIPPED": str(self.base / "shipped"),
            "SAGEMAKER_BASE_DIR": str(self.base),
            "TRAINING_JOB_NAME": self.name,
            "OMP_NUM_THREADS": "1",
            **keys,
            **self.request.get("Environment", {}),
        }

    def _listen(self):
        """Each line to the log, and to the metrics whose expression it matches."""
        logs, stream = self._client("logs"), f"{self.name}/{self.host}-{int(time.time())}"
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=self.group)
        logs.create_log_stream(logGroupName=self.group, logStreamName=stream)
        patterns = [(m["Name"], re.compile(m["Regex"])) for m in self.metric_definitions]
        self.job.final_metric_data_list = []
        for line in self.process.stdout:
            event = {"timestamp": int(time.time() * 1000), "message": line.rstrip("\n") or " "}
            logs.put_log_events(logGroupName=self.group, logStreamName=stream, logEvents=[event])
            found = {name: match for name, pattern in patterns if (match := pattern.search(line))}
            if found:
                self._measured({name: float(match[1]) for name, match in found.items()})

    def last(self, name):
        """The newest value of a metric, -1 where there is none."""
        return next(
            (row["Value"] for row in self.job.final_metric_data_list if row["MetricName"] == name), -1
        )

    def _measured(self, values):
        """What DescribeTrainingJob shows is the last of each."""
        kept = [row for row in self.job.final_metric_data_list if row["MetricName"] not in values]
        now = [{"MetricName": name, "Value": value, "Timestamp": utcnow()} for name, value in values.items()]
        self.job.final_metric_data_list = [*kept, *now]

    def _copy_out(self):
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            self._upload(self.base / "checkpoints", checkpoints["S3Uri"])
        out = f"{self.request['OutputDataConfig']['S3OutputPath']}/{self.name}/output"
        self._upload(self.base / "model", f"{out}/model")

    def _upload(self, folder, uri):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        s3 = self._client("s3")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix.rstrip('/')}/{path.relative_to(folder)}"
                s3.upload_file(str(path), bucket, key)

    def _end(self, code):
        self.job.training_end_time = utcnow()
        started = self.job.training_start_time or self.job.creation_time
        self.job.billable_time_in_seconds = max(1, round((utcnow() - _aware(started)).total_seconds()))
        if self.why_stopped:
            self._phase("Stopped", self.why_stopped)
        elif code:
            failure = self.base / "output/failure"
            said = failure.read_text() if failure.exists() else ""
            self.job.failure_reason = f"AlgorithmError: {said}, exit code: {code}"[:1024]
            self._phase("Failed", "Failed")
        else:
            self._phase("Completed", "Completed")


def _aware(time_):
    return time_ if hasattr(time_, "tzinfo") else utcnow()
