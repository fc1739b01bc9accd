"""What a step takes, from finished steps of its kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from madx.pipeline.engines.engine import Needs
from madx.pipeline.helpers import SMALL
from madx.stages.imported import ImportedAdapter, ImportedChange
from madx.stages.text import TextStage
from madx.step import Step

if TYPE_CHECKING:
    from madx.pipeline.plan import Plan
    from madx.stages.session import Session

ROOM = 1.25  # above the most that was seen
SHARES = 8  # of a GPU: a step takes so many eighths


def needs_of(plan: Plan, session: Session, seconds: Mapping[str, float]) -> Callable[[Step], Needs]:
    """Memory is the most that a finished step of the stage took in this plan; `seconds` is what is estimated.

    Where nothing is finished, a training has a GPU to itself, and memory is left to the cluster's default.
    """
    on_gpu = session.device.type == "cuda"
    done = [step for step in plan.steps if session.store.is_done(step.name)]
    seen: dict[str, int] = {}
    for step in done:
        seen[step.stage] = max(seen.get(step.stage, 0), session.store.result(step.name)["memory_mb"])
    whole = torch.cuda.get_device_properties(session.device).total_memory >> 20 if on_gpu else 0
    small = not on_gpu and session.encoder(plan.encoder).width <= SMALL
    cores = 1 if small else 4 if on_gpu else torch.get_num_threads()

    def needs(step: Step) -> Needs:
        minutes = seconds[step.name] / 60 if step.name in seconds else None
        if isinstance(step, TextStage | ImportedAdapter | ImportedChange):
            return Needs(minutes=minutes)
        memory = int(seen[step.stage] * ROOM) if step.stage in seen else None
        if not on_gpu:
            return Needs(cores, memory_mb=memory, minutes=minutes)
        share = 1.0 if memory is None else min(1.0, math.ceil(SHARES * memory / whole) / SHARES)
        return Needs(cores, share, minutes=minutes)  # what was measured is the GPU's memory

    return needs
