"""The pipeline as a whole and in part, for the command line and for Python: plan, check, make, say where it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from madx.config import first_line
from madx.pipeline.folder import noted, write_run
from madx.pipeline.plan import Failed, Plan, check_plan
from madx.pipeline.planner import Planner
from madx.pipeline.project import recipe_file
from madx.report.page import write_report
from madx.stages.session import Session
from madx.step import Step
from madx.writing import io_errors

Make = Callable[[Plan], Mapping[str, Exception]]  # what has failed, by step


def run_whole(
    planner: Planner, session: Session, results: Path, recipe: Path | None, make: Make
) -> tuple[Path, Sequence[Failed]]:
    """`make` makes the plan's steps, once they are checked: what was read for that, `session.read` says.

    The run's folder, and the cells that failed where `make` keeps going. Raises InputError before any work, RunError
    after, and what failed first where nothing else is left.
    """
    folder = results / planner.recipe.name
    plan = noted(planner.plan(), folder)
    check_plan(plan, session)
    began = time.perf_counter()
    failures = make(plan)
    whole, failed = plan.without({name: first_line(error) for name, error in failures.items()})
    if failures and not whole.cells:
        raise next(iter(failures.values()))
    with io_errors(folder):
        took = time.perf_counter() - began
        write_report(folder, write_run(whole, session, planner.catalogue, folder, took, recipe_file(recipe), failed))
    return folder, failed


def run_steps(planner: Planner, session: Session, wanted: Sequence[Step], make: Make) -> list[Path]:
    """Some steps, and all that they stand on, made as `run_whole` makes a recipe's; their folders."""
    plan = planner.plan_of(wanted)
    check_plan(plan, session)
    make(plan)
    return [session.folder(step) for step in wanted]
