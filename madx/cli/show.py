"""What people see: progress, plans and scores."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

LINE_EVERY = 30.0  # seconds, where there is no terminal to show a bar
SMALL = 60.0  # seconds: steps that are much shorter (texts) say little of how true an estimate is

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from madx.pipeline.compare import Compared
    from madx.pipeline.curve import Amount
    from madx.pipeline.drop import Dropped
    from madx.pipeline.engines.start import Where
    from madx.pipeline.plan import Plan
    from madx.pipeline.prune import Pruned
    from madx.pipeline.run import Progress
    from madx.stages.session import Session


Row = TypeVar("Row", "Amount", "Dropped", "Pruned")


def print_rows(rows: Sequence[Row], line: Callable[[Row], str], where: str, as_json: bool) -> None:
    """What was measured of a recipe's cells, a line each, and `where` it is kept; or all of it as JSON."""
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=1, ensure_ascii=False))
        return
    for row in rows:
        print(f"{row.task} {row.target}, {row.method}, seed {row.seed}, {line(row)}")
    print(f"\n{where}")


def execute(plan: Plan, session: Session, quiet: bool, where: Where | None = None) -> Mapping[str, Exception]:
    """Run the steps with a progress bar, an estimate and one line per finished step; `where` none: one by one.

    What has failed, where it is to keep going.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from madx.pipeline.engines.start import Where, make
    from madx.pipeline.estimate import advice, duration, estimate, labels_of
    from madx.pipeline.glance import glance

    where = where or Where(jobs=1)
    console = Console(stderr=True, quiet=quiet)
    for note in plan.notes:
        console.print(f"note: {note}", markup=False)
    for statement in session.read.values():
        console.print(f"read: {statement}", markup=False, highlight=False, soft_wrap=True)
    for line in glance(plan, session).lines() if not quiet else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )  # fmt: skip
    with Bars(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = bars.add_task("", total=None, numbers="")
        seconds = {} if quiet and where.engine == "local" else estimate(plan, session)
        said = advice(plan, seconds)
        if said:
            console.print(f"note: {said}", markup=False, highlight=False, soft_wrap=True)
        elif sum(seconds.values()) > LINE_EVERY:
            console.print(f"about {duration(sum(seconds.values()))} in all", highlight=False)
        teller = Teller(bars, bar, seconds, labels_of(plan))
        session.watch = teller.watch
        try:
            failed = make(plan, session, teller.tell, where, seconds)
        except KeyboardInterrupt:
            print("interrupted; what was finished stays, run the same command to go on", file=sys.stderr)
            raise
    if teller.reused == len(plan.steps):
        console.print(f"everything is reused: all {teller.reused} steps were finished before", highlight=False)
    elif teller.reused:
        console.print(f"{teller.reused} of {len(plan.steps)} steps were reused", highlight=False)
    return failed


class Teller:
    """One line for a finished step, and a bar for the one that is being made; in a pipe, a line now and then."""

    def __init__(self, bars: Bars, bar: TaskID, seconds: dict[str, float], labels: dict[str, str]) -> None:
        self.bars, self.bar, self.reused = bars, bar, 0
        self.seconds, self.labels = dict(seconds), labels  # of the steps that are still to do; method, language, seed
        self.expected = self.took = 0.0  # of finished steps: what was estimated, and what it was
        self.began = self.said = time.monotonic()

    def watch(self, label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
        if numbers.get("resumed"):
            self._line(f"{label}: resuming at step {done:,} of {total:,}")
            return
        text = f"loss {numbers['loss']:.3f}  {numbers['tokens_per_s']:,} tokens/s" if "loss" in numbers else ""
        self.bars.update(self.bar, description=label, completed=done, total=total, numbers=text)
        now = time.monotonic()
        if not self.bars.console.is_terminal and done and now - self.said > LINE_EVERY:
            self.said = now
            left = (now - self.began) * (total - done) / done
            self._line(
                f"{label}: {done:,} of {total:,}, about {left / 60:.1f} min left{self._in_all()}  {text}".rstrip()
            )

    def _in_all(self) -> str:
        """Time left of the whole plan, by the estimate and by how true it was so far."""
        from madx.pipeline.estimate import duration

        left = sum(self.seconds.values()) * (self.took + SMALL) / (self.expected + SMALL)
        return f", {duration(left)} in all" if left else ""

    def _finished(self, progress: Progress) -> None:
        expected = self.seconds.pop(progress.name, 0.0)
        if expected and progress.what == "done":
            self.expected, self.took = self.expected + expected, self.took + progress.seconds

    def _line(self, text: str) -> None:
        self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tell(self, progress: Progress) -> None:
        match progress.what:
            case "reused":
                self.reused += 1
            case "start":
                self._begin(progress.name)
            case "damaged" | "lost" | "failed":
                self._line(f"{'failed' if progress.what == 'failed' else 'warning'}: {progress.warnings[0]}")
            case "waiting":
                self._begin(f"{progress.name}: another process is making it")
            case what:
                by = ", by another process" if what == "made" else ""
                self._finished(progress)
                label = self.labels.get(progress.name)
                at = f"[{progress.number}/{progress.total}] {progress.name}" + (f" ({label})" if label else "")
                self._line(f"{at}  {progress.seconds:.1f} s{by}")
                for warning in progress.warnings:
                    self._line(f"warning: {warning}")

    def _begin(self, description: str) -> None:
        self.began = self.said = time.monotonic()
        self.bars.reset(self.bar, description=description, total=None, numbers="")


def print_plan(plan: Plan, session: Session, as_json: bool) -> None:
    from madx.pipeline.estimate import advice, duration, estimate, labels_of
    from madx.pipeline.glance import glance

    seconds, labels = estimate(plan, session), labels_of(plan)
    rows = [
        {
            "step": step.name,
            "what": labels.get(step.name),
            "status": "reused" if session.store.is_done(step.name) else "to do",
            "seconds": seconds.get(step.name),
        }
        for step in plan.steps
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for note in plan.notes:
        print(f"note: {note}")
    for statement in session.read.values():
        print(f"read: {statement}")
    for line in glance(plan, session).lines() if plan.encoder.is_here else ():
        print(line)
    for row in rows:
        time_ = f"about {duration(seconds[name])}" if (name := str(row["step"])) in seconds else ""
        what = f" ({row['what']})" if row["what"] else ""
        print(f"{row['status']:<7} {row['step']}{what}  {time_}".rstrip())
    to_do = sum(row["status"] == "to do" for row in rows)
    time_ = f"; about {duration(sum(seconds.values()))}" if seconds else ""
    print(f"{to_do} to do, {len(rows) - to_do} reused{time_}")
    said = advice(plan, seconds)
    if said:
        print(f"note: {said}")


def print_scale(plan: Plan, session: Session, as_json: bool) -> None:
    """What is still to do, on this machine's workers and on more of them."""
    from madx.pipeline.estimate import duration, estimate
    from madx.pipeline.simulate import WORKERS, costs_of, jobs_of, simulate

    costs = costs_of(session)
    jobs = jobs_of(plan, session, estimate(plan, session))
    found = [simulate(jobs, workers, costs) for workers in WORKERS]
    if as_json:
        print(json.dumps([one._asdict() for one in found], indent=2))
        return
    print_table(
        f"{len(jobs)} steps to do; {costs.what}: {costs.dollars_an_hour:.2f} dollars an hour, {costs.watts:.0f} W each",
        ["workers", "time", "busy", "the limit", "dollars", "kWh"],
        [
            [str(one.workers), duration(one.seconds), f"{one.busy:.0%}", one.limit, f"{one.dollars:,.2f}",
             f"{one.kwh:,.2f}"]
            for one in found
        ],
    )  # fmt: skip


def print_scores(folder: Path, as_json: bool) -> None:
    from madx.report.run_file import read_run
    from madx.report.tables import adapter_rows, score_table, unlabelled_table
    from madx.scores.matrix import Matrix
    from madx.scores.rows import read_rows
    from madx.scores.score import Score
    from madx.scores.summary import Summary

    if as_json:
        print(json.dumps([s.model_dump() for s in read_rows(folder / "scores.csv", Score)], indent=2))
        return
    run = read_run(folder)
    summaries = read_rows(folder / "summary.csv", Summary)
    for task in dict.fromkeys(row.task for row in summaries):
        matrix = Matrix(summaries, task, run.sources)
        table = score_table(run, matrix)
        print_table(
            f"{task} ({matrix.metric}, %; mean over seeds, 95 % interval)",
            ["target", *table.columns],
            [[n, *r] for n, r in zip(table.index, table.values.tolist(), strict=True)],
        )
    unlabelled = unlabelled_table(run)
    if unlabelled is not None:
        rows = [[name, *row] for name, row in zip(unlabelled.index, unlabelled.values.tolist(), strict=True)]
        print_table("targets without labels: no score", ["target", *unlabelled.columns], rows)
    adapters = adapter_rows(run)
    if adapters:
        rows = [[str(a["language"]), f"{a['before']:.2f}", f"{a['after']:.2f}"] for a in adapters]
        print_table("language adapters: masked-LM loss on held-out text", ["language", "before", "after"], rows)


def print_compared(rows: list[Compared], as_json: bool) -> None:
    from madx.report.tables import signed

    if as_json:
        print(json.dumps([row.model_dump() for row in rows], indent=2))
        return
    print_table(
        "first - second, in points, with 95 % intervals; *: beyond doubt (Holm, p < 0.05)",
        ["task", "method", "target", "difference", "paired", "resampled"],
        [
            [
                row.task, row.method, row.target,
                f"{signed(row.value)} ({signed(row.ci_low)} to {signed(row.ci_high)})" + "*" * (row.p_holm < 0.05),
                "yes" if row.paired else "no, other examples", row.resampled,
            ]
            for row in rows
        ],
    )  # fmt: skip


def print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for i, name in enumerate(header):
        table.add_column(escape(name), justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
