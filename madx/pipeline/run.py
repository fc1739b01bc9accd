"""Run a plan on a store. Nothing finished is done twice; nothing finished is lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from madx.config import RunError, first_line
from madx.pipeline.engines.engine import Engine, Event, Needs
from madx.pipeline.engines.local import Local
from madx.pipeline.plan import Plan
from madx.stages.session import Session
from madx.step import Step

TRIES = 4  # of a step whose workers are lost


class Progress(NamedTuple):
    """What has become of a step; another process may have made it, or be making it."""

    what: str  # "start" | "done" | "made" | "reused" | "waiting" | "damaged", to be made again | "lost" | "failed"
    number: int
    total: int
    name: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Todo:
    """The steps that are to be made, and which of them can be."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._above: dict[str, list[str]] = defaultdict(list)
        for step in steps:
            for below in step.upstream:
                self._above[below.name].append(step.name)
        self._steps: dict[str, Step] = {}
        self._blocked: dict[str, set[str]] = {}  # by what is to be made first
        self._ready: dict[str, Step] = {}  # to be handed out

    def __bool__(self) -> bool:
        return bool(self._steps)

    def __contains__(self, step: Step) -> bool:
        return step.name in self._steps

    def add(self, step: Step) -> None:
        """It is to be made (again), after what it stands on and before what stands on it."""
        self._steps[step.name] = step
        self._blocked[step.name] = {below.name for below in step.upstream if below.name in self._steps}
        for above in self._above[step.name]:
            if above in self._steps:
                self._blocked[above].add(step.name)
                self._ready.pop(above, None)
        if not self._blocked[step.name]:
            self._ready[step.name] = step

    def hand_out(self) -> list[Step]:
        """What can be made now, each once."""
        ready, self._ready = list(self._ready.values()), {}
        return ready

    def done(self, name: str) -> None:
        del self._steps[name], self._blocked[name]
        for above in self._above[name]:
            if name in self._blocked.get(above, ()):
                self._blocked[above].discard(name)
                if not self._blocked[above]:
                    self._ready[above] = self._steps[above]

    def drop(self, name: str) -> None:
        """It can't be made, and so nothing that stands on it."""
        if self._steps.pop(name, None) is not None:
            self._ready.pop(name, None)
            del self._blocked[name]
            for above in self._above[name]:
                self.drop(above)

    def again(self, name: str) -> None:
        self._ready[name] = self._steps[name]


def run_plan(
    plan: Plan,
    session: Session,
    tell: Callable[[Progress], None],
    engine: Engine | None = None,
    needs: Callable[[Step], Needs] = lambda step: Needs(),
    keep_going: bool = False,
) -> Mapping[str, Exception]:
    """Every step that isn't finished, each when what it stands on is; `engine` makes them, None: this process.

    A finished step is read before something is made from it, or if nothing is: where it is damaged, it is made again.
    Raises what a step fails with, and RunError for one whose workers are lost again and again; with `keep_going`
    everything that doesn't stand on it is made first, and what failed is given back, by name.
    """
    failed: dict[str, Exception] = {}
    store, total = session.store, len(plan.steps)
    engine = engine or Local(session)
    numbers = {step.name: number for number, step in enumerate(plan.steps, 1)}
    inner = {below.name for step in plan.steps for below in step.upstream}
    todo, submitted, waiting, lost = Todo(plan.steps), set[str](), set[str](), Counter[str]()

    def say(what: str, name: str, seconds: float = 0.0, *warnings: str) -> None:
        tell(Progress(what, numbers[name], total, name, seconds, warnings))

    def make(step: Step) -> None:
        todo.add(step)
        if problem := store.problem(step.name):
            say("damaged", step.name, 0.0, f"{problem}; it is made again")

    def fail(name: str, error: Exception) -> None:
        if not keep_going or name not in numbers:
            raise error
        if name not in failed:
            failed[name] = error
            todo.drop(name)
            say("failed", name, 0.0, f"{name}: {first_line(error)}")

    def hear(event: Event) -> None:
        if event.what != "start":
            submitted.discard(event.name)
        if event.name in failed:
            return
        match event.what:
            case "start":
                say("start", event.name)
            case "done" | "made":
                done = store.result(event.name)
                say(event.what, event.name, done["seconds"], *done["result"].get("warnings", ()))
                todo.done(event.name)
            case "taken":
                if event.name not in waiting:
                    waiting.add(event.name)
                    say("waiting", event.name)
                todo.again(event.name)
            case "lost":
                lost[event.name] += 1
                if lost[event.name] >= TRIES:
                    why = f"lost {TRIES} times with its worker ({event.why}); is there enough memory? What was finished"
                    fail(event.name, RunError(f"{event.name}: {why} is safe: run the same command again"))
                    return
                say("lost", event.name, 0.0, f"{event.name}: its worker is gone ({event.why}); it is made elsewhere")
                todo.again(event.name)
            case "failed":
                assert event.error is not None
                fail(event.name, event.error)

    for step in plan.steps:
        if store.is_done(step.name) if step.name in inner else store.is_whole(step.name):
            say("reused", step.name)
        else:
            make(step)
    while todo:
        for step in todo.hand_out():
            damaged = [below for below in step.upstream if not store.is_whole(below.name)]
            for below in damaged:
                if below not in todo:
                    make(below)
            if not damaged:
                submitted.add(step.name)
                engine.submit(step, needs(step))
        for event in engine.results() if submitted else ():
            hear(event)
    return failed
