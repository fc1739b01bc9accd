"""SLURM, through submitit: an allocation makes many small steps or one; on time-out it is queued again and resumes.

submitit, as it needs nothing but sbatch and a shared disk, and queues again on SLURM's signal. Parsl keeps a server of
its own on the login node that every worker must reach.
"""

from __future__ import annotations

import getpass
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from madx.config import InputError, RunError, first_line
from madx.pipeline.engines.engine import Event, Needs
from madx.pipeline.engines.running import relay
from madx.pipeline.engines.worker import Made, make_named, published
from madx.step import Step

if TYPE_CHECKING:
    from submitit import SlurmExecutor, SlurmJob
    from submitit.helpers import DelayedSubmission

    from madx.pipeline.plan import Plan
    from madx.stages.session import Session

WAIT = 1.0  # seconds between two looks at the store
ASK = 10.0  # between two questions to the scheduler, which is everybody's
# questions in a row that nobody answers: half an hour, longer than it takes to start a scheduler again
SILENT = 180
SLACK = 10  # minutes of a job beside twice its estimate: it starts, and is queued again where that was too little
UNKNOWN = 30.0  # minutes of a step that nothing is known of
TIME_OUTS = 1000  # after which a job isn't queued again


class Outcome(NamedTuple):
    made: dict[str, Made]
    failure: Exception | None = None


class Job:
    """What runs in an allocation: steps by name, one after the other."""

    def __init__(self, path: Path, names: list[str], cores: int) -> None:
        self.path, self.names, self.cores = path, names, cores

    def __call__(self) -> Outcome:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cancelled, or SLURM queues it again by itself
        made: dict[str, Made] = {}
        for name in self.names:
            try:
                made[name] = make_named(self.path, name, self.cores)
            except Exception as error:
                return Outcome(made, error)
        return Outcome(made)

    def checkpoint(self) -> DelayedSubmission:
        """Time is nearly over: the same again. The training has written its checkpoint, finished steps are skipped."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """`minutes`: of the steps that one allocation makes, in all; 0: one step each. `counts_memory`: see there."""

    def __init__(
        self, path: Path, session: Session, executor: SlurmExecutor, minutes: float, counts_memory: bool
    ) -> None:
        self._path, self._store, self._look = path, session.store, relay(session)
        self._executor, self._minutes = executor, minutes
        self._queue: list[tuple[Step, Needs]] = []
        self._jobs: list[tuple[SlurmJob[Outcome], list[str]]] = []  # with those of their steps that aren't finished
        self._counts_memory = counts_memory
        self._asked, self._missed, self._silent = time.monotonic(), dict[str, int](), 0

    def submit(self, step: Step, needs: Needs) -> None:
        self._queue.append((step, needs))

    def results(self) -> Iterator[Event]:
        for group in _grouped(self._queue, self._minutes):
            self._send(group)
        self._queue.clear()
        events = self._events()
        if not events:
            time.sleep(WAIT)
            self._look()
        yield from events

    def _send(self, group: list[tuple[Step, Needs]]) -> None:
        needs, names = group[0][1], [step.name for step, _ in group]
        minutes = sum(each.minutes or UNKNOWN for _, each in group)
        memory = max(each.memory_mb or 0 for _, each in group)
        self._executor.update_parameters(
            job_name=names[0] if len(names) == 1 else f"madx-{len(names)}-steps",
            time=math.ceil(2 * minutes) + SLACK,
            cpus_per_task=needs.cores,
            gpus_per_node=math.ceil(needs.gpus) or None,
            mem=f"{memory + 1024}M" if memory and self._counts_memory else None,  # torch and transformers themselves
        )
        try:
            self._jobs.append((self._executor.submit(Job(self._path, names, needs.cores)), names))
        except Exception as error:  # submitit's own kinds, with what sbatch has said
            raise RunError(f"sbatch refused {names[0]}: {first_line(error)}") from None

    def _events(self) -> list[Event]:
        events, queued = [], self._queued()
        for job, names in list(self._jobs):
            ended = job.paths.result_pickle.exists()  # before the steps are looked at: what it made is seen
            events += [Event(name, "done") for name in names if self._store.is_done(name)]
            left = [name for name in names if not self._store.is_done(name)]
            if ended and left and (failure := job.result().failure):  # of the first that isn't done: there it stopped
                events.append(Event(left.pop(0), "failed", error=failure))
            if ended:
                events += [Event(name, "taken") for name in left]
            elif self._is_gone(job.job_id, queued):
                events += [Event(name, "lost", f"SLURM job {job.job_id}, {job.paths.stderr}") for name in left]
            else:
                names[:] = left
                continue
            self._jobs.remove((job, names))
        return events

    def _queued(self) -> set[str] | None:
        """The user's jobs that wait or run; None: it isn't time to ask, or nobody answers.

        Raises RunError where nobody has answered for long.
        """
        if time.monotonic() - self._asked < ASK:
            return None
        self._asked = time.monotonic()
        asked = subprocess.run(
            ["squeue", "--noheader", "--format=%A", "--user", getpass.getuser()], capture_output=True, text=True
        )
        if asked.returncode == 0:
            self._silent = 0
            return set(asked.stdout.split())
        self._silent += 1
        if self._silent >= SILENT:
            raise RunError(
                f"squeue hasn't answered {SILENT} times in a row ({asked.stderr.strip()[:200]}); queued jobs go on "
                "without this driver: run the same command again when SLURM is back"
            )
        return None

    def _is_gone(self, job: str, queued: set[str] | None) -> bool:
        """Twice in a row: a job that has just ended writes its result yet."""
        if queued is not None:
            self._missed[job] = 0 if job in queued else self._missed.get(job, 0) + 1
        return self._missed.get(job, 0) >= 2


def counts_memory() -> bool:
    """Whether any node has a size that jobs are held to; where none was configured it is 1 MB, and --mem is refused."""
    asked = subprocess.run(["sinfo", "--noheader", "--format=%m"], capture_output=True, text=True)
    sizes = [int(size) for line in asked.stdout.split() if (size := line.rstrip("+")).isdigit()]
    return not sizes or max(sizes) > 1


def _grouped(steps: list[tuple[Step, Needs]], minutes: float) -> list[list[tuple[Step, Needs]]]:
    """Steps that need the same, as many together as fit into so many minutes."""
    groups: list[list[tuple[Step, Needs]]] = []
    open_: dict[tuple[int, float], tuple[list[tuple[Step, Needs]], float]] = {}
    for step, needs in steps:
        what, takes = (needs.cores, needs.gpus), needs.minutes or UNKNOWN
        group, used = open_.get(what, ([], math.inf))
        if used + takes > minutes:
            group, used = [], 0.0
            groups.append(group)
        group.append((step, needs))
        open_[what] = group, used + takes
    return groups


@contextmanager
def slurm_engine(plan: Plan, session: Session, minutes: float) -> Iterator[Slurm]:
    """Within, jobs of this cluster. What sbatch is to be told else, its variables say (SBATCH_PARTITION, ...).

    Raises InputError where there is no submitit or no SLURM.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError:
        raise InputError("--engine slurm: submitit is not installed; pip install 'madx-adapters[slurm]'") from None
    if shutil.which("sbatch") is None:
        raise InputError("--engine slurm: no sbatch here; start it on a machine that submits jobs")
    with published(plan, session) as path:
        executor = SlurmExecutor(session.store.root.absolute() / ".slurm", max_num_timeout=TIME_OUTS)
        yield Slurm(path, session, executor, minutes, counts_memory())
