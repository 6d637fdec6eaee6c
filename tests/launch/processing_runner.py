"""Processing jobs on loopback: a process a machine, each with its share of the files; outputs go to S3 at the
end.

Objects are dealt out in the order of their keys; how SageMaker deals them out is its own affair.
"""

import json
import shutil
import threading
from pathlib import Path

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.sagemaker.responses import SageMakerResponse
from training_runner import RunningJob


class Machine(RunningJob):
    """One of `count` machines of a job."""

    group = "/aws/sagemaker/ProcessingJobs"
    metric_definitions = ()

    def __init__(self, name, request, url, *, number, count):
        super().__init__(name, type("Unused", (), {})(), request, url)
        self.host = f"algo-{number + 1}"
        self.number, self.count = number, count
        self.code = None

    def run(self):
        try:
            self._fill()
            self.code = self._work()
        except RuntimeError as error:
            self.message = str(error)

    @property
    def last_words(self):
        path = self.base / "output/message"
        return path.read_text() if path.exists() else ""

    def copy_out(self):
        for output in self.request["ProcessingOutputConfig"]["Outputs"]:
            where = output["S3Output"]
            folder = where["LocalPath"].replace("/opt/ml", str(self.base))
            self._upload(Path(folder), where["S3Uri"])

    def _phase(self, *_):
        """Only the job has one."""

    def _fill(self):
        for channel in self.request["ProcessingInputs"]:
            source = channel["S3Input"]
            folder = self._folder(source["LocalPath"].removeprefix("/opt/ml/"))
            self._download(source["S3Uri"], folder)
            if source["S3DataDistributionType"] == "ShardedByS3Key":
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                for path in files:
                    if files.index(path) % self.count != self.number:
                        path.unlink()
        hosts = [f"algo-{number + 1}" for number in range(self.count)]
        resources = {"current_host": self.host, "hosts": hosts, "network_interface_name": "lo"}
        (self._folder("config") / "resourceconfig.json").write_text(json.dumps(resources))

    def _command(self):
        """Only the entrypoint is a path that this machine has elsewhere; arguments are the program's."""
        what = self.request["AppSpecification"]
        return [*self._placed(what["ContainerEntrypoint"]), *what["ContainerArguments"]]


class RunningProcessing(threading.Thread):
    """A job: it is done when all machines are."""

    def __init__(self, name, job, request, url):
        super().__init__(daemon=True, name=name)
        count = request["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
        self.job, self.is_stopped = job, False
        self.machines = [Machine(name, request, url, number=k, count=count) for k in range(count)]

    def run(self):
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            machine.join()
        words = "".join(machine.last_words for machine in self.machines)
        if words:
            self.job.exit_message = words[:1024]
        codes = [machine.code for machine in self.machines]
        self.job.processing_end_time = utcnow()
        if self.is_stopped:
            self.job.processing_job_status = "Stopped"
        elif any(codes):
            self.job.failure_reason = "AlgorithmError: See job logs for more information"
            self.job.processing_job_status = "Failed"
        else:
            for machine in self.machines:
                machine.copy_out()
            self.job.processing_job_status = "Completed"
        for machine in self.machines:
            shutil.rmtree(machine.base, ignore_errors=True)

    def stop(self):
        self.is_stopped, self.job.processing_job_status = True, "Stopping"
        for machine in self.machines:
            machine.stop()

    def kill(self):
        for machine in self.machines:
            machine.kill()


def replacements(running, url):
    """What to put in the place of moto's methods."""
    create = SageMakerResponse.create_processing_job

    def create_processing_job(self):
        request = json.loads(self.body)
        name = request["ProcessingJobName"]
        if name in self.sagemaker_backend.processing_jobs:
            raise JsonRESTError("ResourceInUse", f"a processing job with this name exists already ({name})")
        answer = create(self)
        job = self.sagemaker_backend.processing_jobs[name]
        job.processing_job_status, job.processing_end_time = "InProgress", None
        job.processing_start_time = utcnow()
        job.processing_resources = request["ProcessingResources"]
        running[name] = RunningProcessing(name, job, request, url)
        running[name].start()
        return answer

    def stop_processing_job(self):
        running[json.loads(self.body)["ProcessingJobName"]].stop()
        return ActionResult({})

    return {
        "create_processing_job": create_processing_job,
        "stop_processing_job": stop_processing_job,
    }
