"""What makes the steps of a plan: this process and its helpers, a Ray cluster, or SLURM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol

from madx.step import Step


class Needs(NamedTuple):
    """What a step takes of a machine; None: not known."""

    cores: int = 1
    gpus: float = 0.0  # a share of one
    memory_mb: int | None = None
    minutes: float | None = None


class Event(NamedTuple):
    """What has become of a submitted step.

    start: it has begun. done: it is finished. made: another process has made it. taken: another process is making it.
    lost: its worker is gone. After the last two it may be submitted again. failed: it raised `error`.
    """

    name: str
    what: Literal["start", "done", "made", "taken", "lost", "failed"]
    why: str = ""  # of a loss
    error: Exception | None = None


class Engine(Protocol):
    """Takes steps whose upstream is finished; finished is what the store says."""

    def submit(self, step: Step, needs: Needs) -> None: ...

    def results(self) -> Iterable[Event]:
        """What has happened since it was asked last; waits a moment where nothing has."""
        ...
