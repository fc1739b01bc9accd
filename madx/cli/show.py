"""What people see: progress, plans and scores."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.progress import Progress as Bars

    from madx.pipeline.compare import Compared
    from madx.pipeline.curve import Amount
    from madx.pipeline.drop import Dropped
    from madx.pipeline.engines.start import Where
    from madx.pipeline.plan import Plan
    from madx.pipeline.prune import Pruned
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
    from madx.pipeline.told import LINE_EVERY, Teller

    where = where or Where(jobs=1)
    console = Console(stderr=True, quiet=quiet)
    line = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    for note in plan.notes:
        line(f"note: {note}")
    for statement in session.read.values():
        line(f"read: {statement}")
    for seen in glance(plan, session).lines() if not quiet else ():
        line(seen)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )  # fmt: skip
    with Bars(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = RichBar(bars) if console.is_terminal else None
        seconds = {} if quiet and where.engine == "local" else estimate(plan, session)
        said = advice(plan, seconds, session.device)
        if said:
            line(f"note: {said}")
        elif sum(seconds.values()) > LINE_EVERY:
            line(f"about {duration(sum(seconds.values()))} in all")
        teller = Teller(line, labels_of(plan), seconds, bar)
        session.watch = teller.watch
        try:
            failed = make(plan, session, teller.tell, where, seconds)
        except KeyboardInterrupt:
            print("interrupted; what was finished stays, run the same command to go on", file=sys.stderr)
            raise
    if teller.reused == len(plan.steps):
        line(f"everything is reused: all {teller.reused} steps were finished before")
    elif teller.reused:
        line(f"{teller.reused} of {len(plan.steps)} steps were reused")
    return failed


class RichBar:
    """The bar of a terminal."""

    def __init__(self, bars: Bars) -> None:
        self.bars, self.bar = bars, bars.add_task("", total=None, numbers="")

    def begin(self, description: str) -> None:
        self.bars.reset(self.bar, description=description, total=None, numbers="")

    def show(self, label: str, done: int, total: int, numbers: str) -> None:
        self.bars.update(self.bar, description=label, completed=done, total=total, numbers=numbers)


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
    said = advice(plan, seconds, session.device)
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


def scores(folder: Path) -> list[dict[str, Any]]:
    """A run's scores.csv, as JSON has it."""
    from madx.scores.rows import read_rows
    from madx.scores.score import Score

    return [score.model_dump() for score in read_rows(folder / "scores.csv", Score)]


def print_scores(folder: Path) -> None:
    from madx.report.run_file import read_run
    from madx.report.tables import adapter_rows, score_table, unlabelled_table
    from madx.scores.matrix import Matrix
    from madx.scores.rows import read_rows
    from madx.scores.summary import Summary

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
    if any(row.seeds < 2 for row in rows):
        print(
            "note: trainings differ by their seeds too, which these intervals don't hold; "
            "compare runs of two or more seeds, the same in both"
        )


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
