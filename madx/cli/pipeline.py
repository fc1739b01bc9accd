"""The pipeline's commands: run, evaluate, report, compare, doctor."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from madx.cli.options import (
    RESULTS,
    Address,
    CatalogOption,
    Data,
    Debug,
    Device,
    Engine,
    Estimate,
    JobMinutes,
    Jobs,
    Json,
    KeepGoing,
    Processes,
    Quiet,
    Recipe,
    Results,
    Set,
    Shared,
)  # fmt: skip
from madx.cli.show import execute, print_compared, print_plan, print_scale, print_scores, scores
from madx.config import InputError, RunError
from madx.pipeline.project import earlier_results, project, read_recipe

if TYPE_CHECKING:
    from madx.pipeline.engines.start import Where
    from madx.pipeline.planner import Planner
    from madx.stages.session import Session


def run(
    recipe: Recipe = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan: what is reused, what will run.")] = False,
    estimate: Estimate = False,
    as_json: Json = False,
    jobs: Jobs = None,
    processes: Processes = 1,
    engine: Engine = "local",
    address: Address = None,
    job_minutes: JobMinutes = 60,
    shared: Shared = None,
    keep_going: KeepGoing = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """The whole pipeline: plan, stage one, stage two, zero-shot evaluation, report."""
    from madx.pipeline.engines.together import launched

    if processes > 1 and engine != "local":
        raise InputError(f"--processes {processes}: with --engine local; the others make several steps at once")
    if processes > 1 and keep_going:
        raise InputError("--keep-going: not with --processes, where all fail together")
    if recipe is not None and not quiet and not (results / ".store").is_dir():
        earlier = earlier_results(recipe, results)
        goes_on = f"{earlier} has steps that were finished before; --results {earlier} goes on there"
        new = f"nothing is finished in {results.resolve()} yet; --results says where else results are"
        print(f"note: {goes_on if earlier else new}", file=sys.stderr)
    planner, session = project(read_recipe(recipe, set_), recipe, data, results, catalog, device, shared=shared)
    if dry_run:
        from madx.pipeline.plan import look_at

        (print_scale if estimate else print_plan)(look_at(planner.plan(), session), session, as_json)
        return
    from madx.pipeline.engines.start import Where
    from madx.pipeline.engines.together import follow
    from madx.training.group import joined

    with launched(processes):
        group, session.device = joined(session.device)
        if group.rank:
            follow(planner.plan(), session, group)
        else:
            where = Where(engine, jobs, address, job_minutes, group, keep_going)
            _run(planner, session, results, recipe, as_json, quiet, where)


def _run(
    planner: Planner, session: Session, results: Path, recipe: Path | None, as_json: bool, quiet: bool, where: Where
) -> None:
    from madx.pipeline.whole import run_whole

    folder, failed = run_whole(planner, session, results, recipe, lambda plan: execute(plan, session, quiet, where))
    if as_json:
        print(json.dumps(scores(folder), indent=2))
    else:
        print_scores(folder)
        print(f"\nreport: {folder / 'report.html'}")
    if failed:
        raise RunError(f"{len(failed)} cell(s) failed: the report says why; the same command tries them again")


def evaluate(
    task: Annotated[str, typer.Argument(help="A task of the catalogue.")],
    target: Annotated[list[str], typer.Option("--target", help="Target language. Repeatable; 'all'.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    source: Annotated[str, typer.Option(help="Source language.")] = "eng",
    method: Annotated[list[str] | None, typer.Option("--method", help="Of the control grid. Repeatable.")] = None,
    adapter: Annotated[list[str] | None, typer.Option("--adapter", help="LANGUAGE=DIR: a ready-made one.")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage three, from trained or ready-made adapters; what is missing is trained first."""
    from madx.pipeline.engines.start import Where
    from madx.pipeline.recipe import recipe_from

    for one in adapter or []:
        if "=" not in one:
            raise InputError(f"--adapter {one}: write LANGUAGE=ADDRESS, e.g. swe={one}")
    base: dict[str, Any] = {
        "name": f"evaluate-{task}", "model": model, "tasks": [task], "source": source,
        "targets": "all" if target == ["all"] else target, "methods": method or ["madx"],
        "language_adapters": dict(one.split("=", 1) for one in adapter or []),
    }  # fmt: skip
    recipe = recipe_from(base, "command line", set_ or [])
    planner, session = project(recipe, Path("command line"), data, results, catalog, device)
    _run(planner, session, results, None, as_json, quiet, Where(jobs=jobs))


def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, e.g. results/quickstart; with --all one of runs.")],
    all_: Annotated[bool, typer.Option("--all", help="One page, index.html, over all runs in the folder.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Rebuild scores and report from a run's predictions alone; with --all a run without them keeps what it has."""
    from madx.pipeline.rescore import lacking, score_run
    from madx.report.leaderboard import runs_below, write_leaderboard
    from madx.report.page import write_report
    from madx.report.run_file import read_run

    if not all_ and not (folder / "run.json").exists():
        raise InputError(f"{folder}: no run.json; is this a run's folder? (--all takes a folder of runs)")
    runs = runs_below(folder) if all_ else [folder]
    pages = []
    for run in runs:
        gone = lacking(run) if all_ and (run / "summary.csv").exists() else None
        if gone is None:
            pages.append(write_report(run, score_run(run)))
        else:
            print(f"note: {gone} isn't there; {run.name}'s scores and report stay as they were", file=sys.stderr)
        if not as_json:
            print_scores(run)
    if all_:
        pages = [write_leaderboard(folder, [(run, read_run(run)) for run in runs])]
    if as_json:
        found = {run.name: scores(run) for run in runs}
        print(json.dumps(found if all_ else found[folder.name], indent=2))
    else:
        print(f"\nreport: {pages[0]}")


def compare(
    first: Annotated[Path, typer.Argument(help="A run's folder.")],
    second: Annotated[Path, typer.Argument(help="Another one's; what both have is compared.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Two runs, first - second: paired where the test examples are the same."""
    from madx.pipeline.compare import compare_runs

    print_compared(compare_runs(first, second), as_json)


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="RESULTS", help="A run's folder, e.g. results/quickstart.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Why scores are at zero or chance, or the source's low: what the run's records say, the likeliest first."""
    from madx.pipeline.doctor import diagnose

    found = diagnose(folder)
    if as_json:
        print(json.dumps([one._asdict() for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        print(f"{one.task} {one.target}, {one.method}, seed {one.seed}: {one.value:.1f} (chance {one.chance:.1f})")
        for number, reason in enumerate(one.reasons, 1):
            print(f"  {number}. {reason}")
    if not found:
        print("no score is zero or at chance, and the source's own is not low")
