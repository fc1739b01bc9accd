"""The whole pipeline, for the command line and for Python: plan, check, make, write the run's folder and its report."""

import time
from collections.abc import Callable
from pathlib import Path

from madx.pipeline.folder import write_run
from madx.pipeline.plan import Plan, check_plan
from madx.pipeline.planner import Planner
from madx.report.page import write_report
from madx.stages.session import Session
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
        write_report(folder, write_run(plan, session, folder, time.perf_counter() - began, recipe))
    return folder
