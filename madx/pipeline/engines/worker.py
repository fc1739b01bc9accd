"""What a worker of a cluster does: it is told a step's name, finds the step in the plan's file, and makes it.

Artefacts stay in the store, which every worker sees on a disk that they share, or at an address.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from madx.config import digest
from madx.store import Store
from madx.writing import new_file

if TYPE_CHECKING:
    from madx.pipeline.plan import Plan
    from madx.stages.session import Session
    from madx.step import Step

Made = Literal["done", "made", "taken"]


class Place(NamedTuple):
    """Where a plan is run: what a worker's own session is made of."""

    directory: Path  # in which relative paths are looked for
    store: Store
    data: Path | None
    trackers: tuple[str, ...]
    device: str


@contextmanager
def published(plan: Plan, session: Session) -> Iterator[Path]:
    """A file in the store that workers read the plan from. It stays where the driver stops early: jobs may go on."""
    store = Store(session.store.root.absolute(), session.store.shared)
    # a worker's devices are numbered anew
    place = Place(Path.cwd(), store, session.data, tuple(session.trackers), session.device.type)
    place.store.root.mkdir(parents=True, exist_ok=True)
    path = place.store.root / f".plan-{digest([step.name for step in plan.steps])}.pickle"
    with new_file(path) as beside:
        beside.write_bytes(pickle.dumps((place, {step.name: step for step in plan.steps})))
    yield path
    path.unlink(missing_ok=True)


@lru_cache(1)  # a worker's encoder stays in memory from step to step
def _opened(plan: Path | bytes) -> tuple[Session, dict[str, Step]]:
    place, steps = pickle.loads(plan if isinstance(plan, bytes) else plan.read_bytes())
    import torch

    from madx.stages.session import Session

    os.chdir(place.directory)
    return Session(place.store, torch.device(place.device), place.data, place.trackers), steps


def make_named(plan: Path | bytes, name: str, cores: int) -> Made:
    """A step of a published plan (its file, or what is in it), on so many cores; who finds it taken waits a moment.

    Raises what it fails with.
    """
    session, steps = _opened(plan)
    import torch

    from madx.pipeline.engines.make import make_step

    torch.set_num_threads(cores)
    with session.store.claim(name) as folder:
        if folder is not None:
            make_step(steps[name], folder, session)
            return "done"
    for _ in range(10):
        if session.store.is_done(name):
            return "made"
        time.sleep(0.1)
    return "taken"
