"""Run a plan on a store. Nothing finished is done twice; nothing finished is lost."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from madx.config import RunError
from madx.device import peak_memory, reset_peak_memory
from madx.pipeline.plan import Plan
from madx.stages.session import Session
from madx.step import Result, Step
from madx.store import io_errors


class Progress(NamedTuple):
    """What has become of a step; another process may have made it, or be making it."""

    what: str  # "start" | "done" | "made" | "reused" | "waiting" | "damaged", which is to be made again
    number: int
    total: int
    name: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def run_plan(
    plan: Plan, session: Session, tell: Callable[[Progress], None], check: Callable[[], None] = lambda: None
) -> None:
    """Every step that isn't finished, in order; what another process is making is passed over, and waited for last.

    A finished step is read before something is made from it, or if nothing is: where it is damaged, it is made again.
    `check` is called after every step, and while nothing can be done.
    """
    store, total = session.store, len(plan.steps)
    numbers = {step.name: number for number, step in enumerate(plan.steps, 1)}
    inner = {below.name for step in plan.steps for below in step.upstream}
    todo: dict[str, tuple[int, Step]] = {}

    def make_again(step: Step) -> None:
        todo[step.name] = (numbers[step.name], step)
        if problem := store.problem(step.name):
            tell(Progress("damaged", numbers[step.name], total, step.name, warnings=(f"{problem}; it is made again",)))

    for step in plan.steps:
        if store.is_done(step.name) if step.name in inner else store.is_whole(step.name):
            tell(Progress("reused", numbers[step.name], total, step.name))
        else:
            make_again(step)
    waiting: set[str] = set()
    while todo:
        before = len(todo)
        for name, (number, step) in list(todo.items()):
            if any(below.name in todo for below in step.upstream):
                continue
            if damaged := [below for below in step.upstream if not store.is_whole(below.name)]:
                for below in damaged:
                    make_again(below)
                continue
            with store.claim(name) as folder:
                if folder is not None:
                    tell(Progress("start", number, total, name))
                    made_here = _run_step(step, folder, session)
                    store.finish(name, made_here)
            if store.is_done(name):
                done, what = store.result(name), "made" if folder is None else "done"
                warnings = tuple(done["result"].get("warnings", ()))
                tell(Progress(what, number, total, name, done["seconds"], warnings))
                del todo[name]
            elif name not in waiting:
                waiting.add(name)
                tell(Progress("waiting", number, total, name))
            check()
        if len(todo) == before:
            time.sleep(0.1)


def _run_step(step: Step, folder: Path, session: Session) -> Result:
    began = time.perf_counter()
    reset_peak_memory(session.device)
    try:
        with io_errors(folder):
            result = step.run(folder, session)
    except RuntimeError as error:
        if "inline_container" not in str(error):  # torch's way to say that a file can't be written
            raise
        raise RunError(f"{folder}: a file cannot be written: is the disk full? Make room and run it again") from error
    # a resumed step has trained for longer than this process has
    seconds = max(time.perf_counter() - began, result.get("training_seconds", 0.0))
    return {"seconds": round(seconds, 2), "result": result, "memory_mb": peak_memory(session.device) >> 20}
