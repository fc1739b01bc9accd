"""Make a plan's steps with the engine that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch

from madx.config import InputError
from madx.pipeline.engines.local import Local
from madx.pipeline.engines.needs import needs_of
from madx.pipeline.engines.ray import ray_engine
from madx.pipeline.engines.slurm import slurm_engine
from madx.pipeline.engines.together import lead
from madx.pipeline.helpers import make as make_here
from madx.pipeline.plan import Plan
from madx.pipeline.run import Progress, run_plan
from madx.stages.federated import FederatedStage
from madx.stages.flower import ALONE
from madx.stages.session import Session
from madx.training.group import Group


class Where(NamedTuple):
    """Who makes the steps."""

    engine: Literal["local", "ray", "slurm"] = "local"
    jobs: int | None = None  # local: steps at once; ray: cores of the cluster that is started here
    address: str | None = None  # ray: of a cluster to join
    job_minutes: float = 60  # slurm: of the steps of one allocation
    group: Group = Group()  # local: processes that make each step together
    keep_going: bool = False  # past a step that fails


def make(
    plan: Plan, session: Session, tell: Callable[[Progress], None], where: Where, seconds: Mapping[str, float]
) -> Mapping[str, Exception]:
    """Every step of the plan; `seconds`: what each is estimated to take. What has failed, see run_plan.

    Raises InputError before, RunError within.
    """
    go = where.keep_going
    flower = any(isinstance(step, FederatedStage) and step.flower for step in plan.steps)
    if flower and (where.engine == "ray" or where.group.size > 1):
        raise InputError(ALONE)
    match where.engine:
        case "local" if where.group.size > 1:
            run_plan(plan, session, tell, Local(session, before=lambda step: lead(step, session, where.group)))
            where.group.same("")
            return {}
        case "local":
            return make_here(plan, session, tell, where.jobs, go)
        case "ray":
            with ray_engine(plan, session, where.address, where.jobs or torch.get_num_threads()) as cluster:
                return run_plan(plan, session, tell, cluster, needs_of(plan, session, seconds), go)
        case "slurm":
            with slurm_engine(plan, session, where.job_minutes) as queue:
                return run_plan(plan, session, tell, queue, needs_of(plan, session, seconds), go)
