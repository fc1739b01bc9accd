"""AdapterDrop measured: each cell of a recipe, evaluated without the task adapter's lowest 0, 1, ... layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from madx.pipeline.measured import measure, write_curve, write_table
from madx.pipeline.planner import Planner
from madx.pipeline.whole import Make
from madx.stages.evaluate import Evaluation
from madx.stages.session import Session

TABLE, SCORES, SPEED = "drop.csv", "drop-scores.svg", "drop-speed.svg"


class Dropped(NamedTuple):
    """A score with so many lower layers dropped, in percent, and sentences (examples) a second."""

    task: str
    method: str
    target: str
    seed: int
    dropped: int
    value: float
    examples_per_s: float


def drop_layers(
    planner: Planner, session: Session, results: Path, layers: Sequence[int], make: Make
) -> tuple[Path, list[Dropped]]:
    """The run's folder, and what each cell has with each number of `layers` dropped; what is missing is made first.

    Raises InputError before any work.
    """

    def dropped(evaluation: Evaluation, count: int) -> Evaluation:
        return evaluation.model_copy(update={"dropped": count})

    rows = []
    for cell, _, step, result in measure(planner, session, layers, dropped, make):
        speed = result["examples"] / max(result["prediction_seconds"], 1e-9)
        rows.append(
            Dropped(cell.task, cell.method, cell.target, cell.seed, step.dropped, result["value"], round(speed, 1))
        )
    folder = results / planner.recipe.name
    about = "lower layers without the task adapter; mean over tasks, targets and seeds"
    write_table(folder / TABLE, Dropped._fields, rows)
    write_curve(folder / SCORES, [(r.method, r.dropped, r.value) for r in rows], f"score in percent by {about}")
    write_curve(
        folder / SPEED, [(r.method, r.dropped, r.examples_per_s) for r in rows], f"examples a second by {about}"
    )
    return folder, rows
