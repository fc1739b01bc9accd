"""The engine that is always there: this process makes one step after the other, and its helpers what it doesn't."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from madx.pipeline.engines.engine import Event, Needs
from madx.pipeline.engines.make import make_step
from madx.stages.session import Session
from madx.step import Step


class Local:
    """`heard`: what helpers have failed with; `before` is told of a step that is about to be made."""

    def __init__(
        self,
        session: Session,
        heard: Callable[[], Iterable[Event]] = lambda: (),
        before: Callable[[Step], None] = lambda step: None,
    ) -> None:
        self.session, self.heard, self.before = session, heard, before
        self._queue: deque[Step] = deque()
        self._passed_over = 0  # in a row

    def submit(self, step: Step, needs: Needs) -> None:
        self._queue.append(step)

    def results(self) -> Iterator[Event]:
        step = self._queue.popleft()
        try:
            with self.session.store.claim(step.name) as folder:
                if folder is not None:
                    yield Event(step.name, "start")
                    self.before(step)
                    make_step(step, folder, self.session)
        except Exception as error:
            yield Event(step.name, "failed", error=error)
            return
        if self.session.store.is_done(step.name):
            self._passed_over = 0
            yield Event(step.name, "made" if folder is None else "done")
        else:
            self._passed_over += 1
            yield Event(step.name, "taken")
            if self._passed_over >= len(self._queue):
                time.sleep(0.1)
        yield from self.heard()
