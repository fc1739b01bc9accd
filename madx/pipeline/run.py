"""Run a plan on a store. Nothing finished is done twice; nothing finished is lost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from madx.config import RunError, first_line
from madx.pipeline.engines.engine import Engine, Event, Needs
from madx.pipeline.engines.local import Local
from madx.pipeline.plan import Plan
from madx.stages.session import Session
from madx.step import Step
from madx.store import Store

TRIES = 4  # of a step whose workers are lost


class Progress(NamedTuple):
    """What has become of a step; another process may have made it, or be making it."""

    what: str  # "start" | "done" | "made" | "reused" | "waiting" | "damaged", to be made again | "lost" | "failed"
    name: str
    total: int  # steps of the plan
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
    run = _Run(plan, session.store, tell, keep_going)
    engine = engine or Local(session)
    run.look()
    while run.todo:
        for step in run.ready():
            run.submitted.add(step.name)
            engine.submit(step, needs(step))
        for event in engine.results() if run.submitted else ():
            run.hear(event)
    return run.failed


class _Run:
    """What is to be made, and what has become of it."""

    def __init__(self, plan: Plan, store: Store, tell: Callable[[Progress], None], keep_going: bool) -> None:
        self.plan, self.store, self.tell, self.keep_going = plan, store, tell, keep_going
        self.todo, self.submitted, self.failed = Todo(plan.steps), set[str](), dict[str, Exception]()
        self._names = {step.name for step in plan.steps}
        self._waiting, self._lost = set[str](), Counter[str]()

    def look(self) -> None:
        """What is finished stays; a step that others are made from is read when they are."""
        inner = {below.name for step in self.plan.steps for below in step.upstream}
        for step in self.plan.steps:
            if self.store.is_done(step.name) if step.name in inner else self.store.is_whole(step.name):
                self.store.share(step.name)
                self._say("reused", step.name)
            else:
                self._make(step)

    def ready(self) -> Iterator[Step]:
        """What can be made now; what it stands on is read, and made again where it is damaged."""
        for step in self.todo.hand_out():
            damaged = [below for below in step.upstream if not self.store.is_whole(below.name)]
            for below in damaged:
                if below not in self.todo:
                    self._make(below)
            if not damaged:
                yield step

    def hear(self, event: Event) -> None:
        name = event.name
        if event.what != "start":
            self.submitted.discard(name)
        if name in self.failed:
            return
        match event.what:
            case "start":
                self._say("start", name)
            case "done" | "made":
                done = self.store.result(name)
                self._say(event.what, name, done["seconds"], *done["result"].get("warnings", ()))
                self.todo.done(name)
            case "taken":
                if name not in self._waiting:
                    self._waiting.add(name)
                    self._say("waiting", name)
                self.todo.again(name)
            case "lost":
                self._lost[name] += 1
                if self._lost[name] < TRIES:
                    self._say("lost", name, 0.0, f"{name}: its worker is gone ({event.why}); it is made elsewhere")
                    self.todo.again(name)
                else:
                    why = f"lost {TRIES} times with its worker ({event.why}); is there enough memory? What was finished"
                    self._fail(name, RunError(f"{name}: {why} is safe: run the same command again"))
            case "failed":
                assert event.error is not None
                self._fail(name, event.error)

    def _make(self, step: Step) -> None:
        self.todo.add(step)
        if problem := self.store.problem(step.name):
            self._say("damaged", step.name, 0.0, f"{problem}; it is made again")

    def _fail(self, name: str, error: Exception) -> None:
        if not self.keep_going or name not in self._names:
            raise error
        self.failed[name] = error
        self.todo.drop(name)
        self._say("failed", name, 0.0, f"{name}: {first_line(error)}")

    def _say(self, what: str, name: str, seconds: float = 0.0, *warnings: str) -> None:
        self.tell(Progress(what, name, len(self._names), seconds, warnings))
