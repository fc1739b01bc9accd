"""What is told of a plan while it is made: a line for a finished step, and one now and then of a long training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from madx.pipeline.run import Progress

LINE_EVERY = 30.0  # seconds, where there is no bar
SMALL = 60.0  # seconds: steps that are much shorter (texts) say little of how true an estimate is


class Bar(Protocol):
    """Of the step that is being made."""

    def begin(self, description: str) -> None: ...

    def show(self, label: str, done: int, total: int, numbers: str) -> None: ...


class Teller:
    """Hears of every step (`tell`) and of every training (`watch`), and says it in lines."""

    def __init__(
        self,
        line: Callable[[str], None],
        labels: Mapping[str, str],
        seconds: Mapping[str, float] | None = None,
        bar: Bar | None = None,
    ) -> None:
        """`labels`: of a step's name, its method, language and seed. `seconds`: estimates. `bar`: on a terminal."""
        self._line, self.labels, self.bar = line, labels, bar
        self.seconds = dict(seconds or {})  # of the steps that are still to do
        self.expected = self.took = 0.0  # of finished steps: what was estimated, and what it was
        self.reused, self.there = 0, set[str]()  # of the steps: reused ones; names of all that are finished
        self.began = self.said = time.monotonic()

    def watch(self, label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
        if numbers.get("resumed"):
            self._line(f"{label}: resuming at step {done:,} of {total:,}")
            return
        text = f"loss {numbers['loss']:.3f}  {numbers['tokens_per_s']:,} tokens/s" if "loss" in numbers else ""
        if self.bar is not None:
            self.bar.show(label, done, total, text)
            return
        now = time.monotonic()
        if done and now - self.said > LINE_EVERY:
            self.said = now
            left = (now - self.began) * (total - done) / done
            self._line(
                f"{label}: {done:,} of {total:,}, about {left / 60:.1f} min left{self._in_all()}  {text}".rstrip()
            )

    def tell(self, progress: Progress) -> None:
        match progress.what:
            case "reused":
                self.reused += 1
                self.there.add(progress.name)
            case "start":
                self._begin(progress.name)
            case "damaged" | "lost" | "failed":
                self._line(f"{'failed' if progress.what == 'failed' else 'warning'}: {progress.warnings[0]}")
            case "waiting":
                self._begin(f"{progress.name}: another process is making it")
            case what:
                self.there.add(progress.name)
                by = ", by another process" if what == "made" else ""
                self._compare(progress)
                label = self.labels.get(progress.name)
                so_far = f"[{len(self.there)}/{progress.total}]"  # several are made at once: no step's number
                at = f"{so_far} {progress.name}" + (f" ({label})" if label else "")
                self._line(f"{at}  {progress.seconds:.1f} s{by}")
                for warning in progress.warnings:
                    self._line(f"warning: {warning}")

    def _in_all(self) -> str:
        """Time left of the whole plan, by the estimate and by how true it was so far."""
        from madx.pipeline.estimate import duration

        left = sum(self.seconds.values()) * (self.took + SMALL) / (self.expected + SMALL)
        return f", {duration(left)} in all" if left else ""

    def _compare(self, progress: Progress) -> None:
        expected = self.seconds.pop(progress.name, 0.0)
        if expected and progress.what == "done":
            self.expected, self.took = self.expected + expected, self.took + progress.seconds

    def _begin(self, description: str) -> None:
        self.began = self.said = time.monotonic()
        if self.bar is not None:
            self.bar.begin(description)
