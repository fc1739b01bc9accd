"""AdapterDrop measured: each cell of a recipe, evaluated without the task adapter's lowest 0, 1, ... layers."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from madx.config import InputError
from madx.pipeline.planner import Planner
from madx.pipeline.whole import Make, run_steps
from madx.report.charts import curve
from madx.stages.evaluate import Evaluation
from madx.stages.session import Session
from madx.store import write_text

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
    cells = [cell for cell in planner.plan().cells if cell.evaluation is not None]
    if not cells:
        raise InputError("no target of the recipe has a test set: there is nothing to measure")
    steps: list[tuple[int, int, Evaluation]] = []
    for number, cell in enumerate(cells):
        assert cell.evaluation is not None
        steps += [(number, n, cell.evaluation.model_copy(update={"dropped": n})) for n in layers]
    run_steps(planner, session, [step for _, _, step in steps], make)
    rows = []
    for number, n, step in steps:
        cell, result = cells[number], session.result(step)
        speed = result["examples"] / max(result["prediction_seconds"], 1e-9)
        rows.append(Dropped(cell.task, cell.method, cell.target, cell.seed, n, result["value"], round(speed, 1)))
    folder = results / planner.recipe.name
    _write(folder, rows)
    return folder, rows


def _write(folder: Path, rows: Sequence[Dropped]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Dropped._fields)
    writer.writerows(rows)
    write_text(folder / TABLE, text.getvalue())
    scores, speeds = {}, {}
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        counts = sorted({row.dropped for row in own})
        scores[method] = [(n, _mean([row.value for row in own if row.dropped == n])) for n in counts]
        speeds[method] = [(n, _mean([row.examples_per_s for row in own if row.dropped == n])) for n in counts]
    about = "lower layers without the task adapter; mean over tasks, targets and seeds"
    write_text(folder / SCORES, curve(scores, f"score in percent by {about}"))
    write_text(folder / SPEED, curve(speeds, f"examples a second by {about}"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
