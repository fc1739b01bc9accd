"""How long a plan takes on more workers than are at hand, what it costs, and what becomes the limit.

Every step goes to the next free worker when what it stands on is finished, the largest first, as engines do. The driver
takes each in turn for some milliseconds, and all workers share one disk.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from madx.config import digest
from madx.pipeline.check import adapter_size
from madx.pipeline.estimate import text_bytes
from madx.pipeline.plan import Plan
from madx.stages.language import LanguageStage
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.step import Step

DRIVER = 0.0075  # seconds a step: benchmarks/plan_size.py
START = 15.0  # seconds until a worker has torch, transformers and the encoder in memory, once
PREDICTIONS = 100_000  # bytes of an evaluation
DISK = 200e6  # bytes a second, of all workers together: a plain network disk
WORKERS = (1, 8, 64)


class Costs(NamedTuple):
    """Of a worker. Prices differ by a factor of three between places: scale with your own."""

    what: str
    dollars_an_hour: float
    watts: float  # with its share of the host and of cooling


GPU = Costs("GPU", 2.50, 1000)
CORES = Costs("this machine", 0.10, 60)


class Job(NamedTuple):
    """A step, as far as time goes."""

    name: str
    seconds: float
    bytes: float  # read from the shared disk and written to it
    below: tuple[str, ...] = ()


class Simulated(NamedTuple):
    """What would come of it."""

    workers: int
    seconds: float
    busy: float  # share of the workers' time that is work
    limit: str
    dollars: float
    kwh: float


def simulate(jobs: Sequence[Job], workers: int, costs: Costs) -> Simulated:
    """`jobs`: each after those that it stands on."""
    above: dict[str, list[Job]] = defaultdict(list)
    waits = {job.name: len(job.below) for job in jobs}
    for job in jobs:
        for below in job.below:
            above[below].append(job)
    ready = [(-job.seconds, number, job) for number, job in enumerate(jobs) if not job.below]
    heapq.heapify(ready)
    number = len(jobs)
    running: list[tuple[float, int, Job]] = []
    now = driver = disk = START
    while ready or running:
        while ready and len(running) < workers:
            job = heapq.heappop(ready)[2]
            driver = max(driver, now) + DRIVER
            disk = max(disk, driver) + job.bytes / DISK
            number += 1
            heapq.heappush(running, (disk + job.seconds, number, job))
        now, _, job = heapq.heappop(running)
        for other in above[job.name]:
            waits[other.name] -= 1
            if not waits[other.name]:
                number += 1
                heapq.heappush(ready, (-other.seconds, number, other))
    work = sum(job.seconds for job in jobs)
    return Simulated(
        workers, now, work / (now * workers), _limit(jobs, workers),
        dollars=now / 3600 * workers * costs.dollars_an_hour, kwh=now / 3600 * workers * costs.watts / 1000,
    )  # fmt: skip


def _limit(jobs: Sequence[Job], workers: int) -> str:
    """What takes the longest if all else took no time."""
    chain: dict[str, float] = {}
    for job in jobs:
        chain[job.name] = job.seconds + max((chain[below] for below in job.below), default=0.0)
    least = {
        "workers": sum(job.seconds for job in jobs) / workers,
        "the longest chain of steps": max(chain.values(), default=0.0),
        "the driver": len(jobs) * DRIVER,
        "the disk": sum(job.bytes for job in jobs) / DISK,
    }
    return max(least, key=lambda what: least[what])


def jobs_of(plan: Plan, session: Session, seconds: Mapping[str, float]) -> list[Job]:
    """Of the steps that are still to do, which `seconds` names."""
    encoder = session.encoder(plan.encoder)
    whole = sum(parameter.numel() for parameter in encoder.base.parameters())
    adapters: dict[str, int] = {}  # weights, by method and stage

    def written(step: Step) -> float:
        match step:
            case TextStage():
                return text_bytes(step, session)
            case LanguageStage() | TaskStage():
                kind = f"{step.stage} {digest(step.method)}"
                if kind not in adapters:
                    adapters[kind] = adapter_size(step, encoder, session) if step.method.shared else whole
                return 4 * adapters[kind]
        return PREDICTIONS

    size = {step.name: written(step) for step in plan.steps}
    return [
        Job(
            step.name, seconds[step.name], size[step.name] + sum(size[below.name] for below in step.upstream),
            tuple(below.name for below in step.upstream if below.name in seconds),
        )
        for step in plan.steps
        if step.name in seconds
    ]  # fmt: skip


def costs_of(session: Session) -> Costs:
    return GPU if session.device.type == "cuda" else CORES
