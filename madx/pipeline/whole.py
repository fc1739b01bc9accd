"""The pipeline as a whole and in part, for the command line and for Python: plan, check, make, say where it is."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from madx.pipeline.folder import write_run
from madx.pipeline.plan import Plan, check_plan
from madx.pipeline.planner import Planner
from madx.report.page import write_report
from madx.stages.session import Session
from madx.step import Step
from madx.store import io_errors


def run_whole(
    planner: Planner, session: Session, results: Path, recipe: Path | None, make: Callable[[Plan], None]
) -> Path:
    """`make` makes the plan's steps, once they are checked: what was read for that, `session.read` says.

    The run's folder. Raises InputError before any work, RunError after.
    """
    plan = planner.plan()
    check_plan(plan, session)
    began = time.perf_counter()
    make(plan)
    folder = results / plan.recipe.name
    with io_errors(folder):
        took = time.perf_counter() - began
        write_report(folder, write_run(plan, session, planner.catalogue, folder, took, recipe))
    return folder


def run_steps(planner: Planner, session: Session, wanted: Sequence[Step], make: Callable[[Plan], None]) -> list[Path]:
    """Some steps, and all that they stand on, made as `run_whole` makes a recipe's; their folders."""
    plan = planner.plan_of(wanted)
    check_plan(plan, session)
    make(plan)
    return [session.folder(step) for step in wanted]
