"""The ten lines of a notebook, against a SageMaker on loopback."""

import pytest

import swath.sagemaker
from swath.errors import UsageError
from swath.runtime.run import Run

ROLE = {"role": "arn:aws:iam::123456789012:role/swath", "store": "s3://bucket/notebook"}
SMALL = {
    "model": "vit_micro", "patch_size": 16, "batch_size": 16, "local_views": 2, "local_px": 16,
    "monitor_every": 0, "steps": 4,
}  # fmt: skip


def test_a_job_is_sent_waited_for_drawn_and_fetched(on_s3, tmp_path):
    job = swath.sagemaker.pretrain(on_s3, **SMALL, **ROLE)
    assert job.wait(look_s=0.2).status == "Completed"
    again = swath.sagemaker.attach(job.name)
    assert again.plot(tmp_path / "curves.svg").read_text().lstrip().startswith("<?xml")
    assert Run.open(again.results(tmp_path / "run")).checkpoint().step == 4
    assert again.cost().billable_s > 0


def test_a_dry_run_sends_nothing(on_s3):
    tried = swath.sagemaker.pretrain(on_s3, **SMALL, **ROLE, dry_run=True)
    assert tried.request["HyperParameters"]["steps"] == "4"


@pytest.mark.usefixtures("aws")
def test_mistakes_are_told_before_anything_is_sent():
    with pytest.raises(UsageError, match='Did you mean "preset"'):
        swath.sagemaker.pretrain("s3://bucket/tiles.lance", presett="demo", **ROLE)
    with pytest.raises(UsageError, match="no job nothing-here"):
        swath.sagemaker.attach("nothing-here")
