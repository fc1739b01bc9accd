"""Further processes that run the same plan on the same store, so that steps which don't need each other are made at
once. The store keeps them apart: whoever has claimed a step makes it, and the others go on with another one.

For small encoders on a processor, whose matrices are too small for several cores.
"""

import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any

import torch

from madx.config import RunError
from madx.pipeline.engines.engine import Event
from madx.pipeline.engines.local import Local
from madx.pipeline.helper import help_out
from madx.pipeline.plan import Plan
from madx.pipeline.run import Progress, run_plan
from madx.stages.session import Session
from madx.stages.several_tasks import TasksStage
from madx.stages.task import TaskStage

SMALL = 384  # width; at 768 two cores are busy with one step
MOST = 4  # each holds an encoder, and about 1 GB in all


def jobs_for(plan: Plan, session: Session) -> int:
    """How many steps are best made at once here. One, unless there are several trainings of a small encoder to do."""
    cores = torch.get_num_threads()
    trainings = (TaskStage.stage, TasksStage.stage)
    to_train = [s for s in plan.steps if s.stage in trainings and not session.store.is_done(s.name)]
    if session.device.type != "cpu" or cores == 1 or len(to_train) < 2:
        return 1
    return min(cores, MOST, len(to_train)) if session.encoder(plan.encoder).width <= SMALL else 1


def make(
    plan: Plan, session: Session, tell: Callable[[Progress], None], jobs: int | None = None, keep_going: bool = False
) -> Mapping[str, Exception]:
    """Every step of the plan, `jobs` at once; None: as many as are best here. See run_plan."""
    with helpers(plan, session, jobs or jobs_for(plan, session), keep_going) as heard:
        return run_plan(plan, session, tell, Local(session, heard), keep_going=keep_going)


@contextmanager
def helpers(
    plan: Plan, session: Session, jobs: int, keep_going: bool = False
) -> Iterator[Callable[[], Iterable[Event]]]:
    """Within, `jobs` - 1 other processes work on the plan, and the threads are shared out among all.

    Gives a function that says which steps they have failed at since it was asked last. At the end they are stopped.
    """
    if jobs == 1:
        yield lambda: ()
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // jobs))
    new = multiprocessing.get_context("spawn")
    running, ends = [], []
    for _ in range(jobs - 1):
        here, there = new.Pipe(duplex=False)
        place = (session.store, session.device, session.data, session.trackers)
        # pickled here, and opened there when the helper watches over its end: importing torch takes seconds
        work = bytes(ForkingPickler.dumps((plan, place, torch.get_num_threads(), keep_going)))
        process = new.Process(target=help_out, args=(work, there), daemon=True)
        with _no_main():
            process.start()
        there.close()
        running.append(process)
        ends.append(here)

    def heard() -> Iterator[Event]:
        for end in list(ends):
            try:
                while end.poll():
                    yield Event(*end.recv())
            except EOFError:  # it has ended; what it had claimed is free again
                ends.remove(end)

    try:
        yield heard
    finally:
        torch.set_num_threads(threads)
        for process in running:
            process.terminate()
            process.join()


@contextmanager
def _no_main() -> Iterator[None]:
    """Within, a new process doesn't run the caller's script, which may have no `if __name__ == "__main__":`, again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def work_on(plan: Plan, place: tuple[Any, ...], threads: int, keep_going: bool, errors: Connection) -> None:
    """What a helper does."""
    torch.set_num_threads(threads)

    def tell(progress: Progress) -> None:
        if progress.what == "failed":
            errors.send(tuple(Event(progress.name, "failed", error=RunError(progress.warnings[0]))))

    try:
        run_plan(plan, Session(*place), tell, keep_going=keep_going)
    except KeyboardInterrupt:
        pass  # the one that is helped says so
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        errors.send(tuple(Event("", "failed", error=error)))
