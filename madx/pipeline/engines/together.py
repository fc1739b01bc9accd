"""Several processes at one step (data parallel): one drives the plan, and the others train with it what it trains.

For a step that is too long for one device. Where there are more steps than devices, an engine is faster: nobody waits.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from madx.pipeline.plan import Plan
from madx.stages.evaluate import Evaluation
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Step
from madx.training.group import Group

ALONE = (TextStage.stage, Evaluation.stage)  # they train nothing


@contextmanager
def launched(processes: int) -> Iterator[None]:
    """Within, this is the first of so many processes that run this command; one, or launched already: as it is."""
    if processes == 1 or "RANK" in os.environ:
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    command = [sys.executable, "-m", "madx", *sys.argv[1:]]
    others = [
        subprocess.Popen(
            command, env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # the first one speaks
        )
        for rank in range(1, processes)
    ]  # fmt: skip
    os.environ.update(common, RANK="0", LOCAL_RANK="0")
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.wait()


def lead(step: Step, session: Session, group: Group) -> None:
    """Before the first process makes a step: the others make it too, where there is something to train."""
    session.group = Group() if step.stage in ALONE else group
    if session.group.size > 1:
        group.same(step.name)


def follow(plan: Plan, session: Session, group: Group) -> None:
    """What the other processes do, until the first one has finished; what they write is thrown away."""
    steps = {step.name: step for step in plan.steps}
    session.group = group
    while name := group.same(""):
        with TemporaryDirectory() as folder:
            steps[name].run(Path(folder), session)
