"""What a job cost: the seconds that AWS bills x the machines x the price of the table."""

from dataclasses import dataclass

from swath.config.sagemaker import CostConfig
from swath.launch.sagemaker.aws import Aws
from swath.launch.sagemaker.found import find_job
from swath.launch.sagemaker.tables import price_of, read_tables
from swath.results import Result


@dataclass(frozen=True)
class Cost(Result):
    """In US dollars; None where the job is not billed yet or the table has no price for its machines.

    `spot_saved` is the share of the time that was run and not billed.
    """

    job: str
    status: str
    instance: str
    count: int
    ran_s: float | None
    billable_s: int | None
    spot_saved: float | None
    usd_per_hour: float | None
    usd: float | None
    prices: str


def cost(config: CostConfig) -> Cost:
    """Look a job up and multiply."""
    job = find_job(Aws(config.region), config.job)
    price = price_of(job.instance, read_tables(config.tables))
    rate = None if price is None else price.usd_per_hour
    ran, billable = job.ran_s if job.has_ended else None, job.billable_s
    return Cost(
        job=job.name,
        status=job.status,
        instance=job.instance,
        count=job.count,
        ran_s=ran,
        billable_s=billable,
        spot_saved=max(0.0, 1 - billable / ran) if job.spot and ran and billable is not None else None,
        usd_per_hour=rate,
        usd=None if rate is None or billable is None else billable * job.count * rate / 3600,
        prices="none for this instance; give --tables" if price is None else f"{price.as_of}, {price.source}",
    )
