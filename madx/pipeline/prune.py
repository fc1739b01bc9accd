"""Pruning measured: each cell of a recipe with ever fewer of the task adapter's weights, and what is left on disk.

Finished adapters lose their smallest weights; `madx-sparse`, pruned before it is trained, is trained at each sparsity.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from madx.formats.adapterhub import WEIGHTS
from madx.formats.manifest import PACKED
from madx.pipeline.measured import measure, write_curve, write_table
from madx.pipeline.planner import Planner
from madx.pipeline.whole import Make
from madx.stages.evaluate import Evaluation
from madx.stages.pruned import PrunedTask
from madx.stages.session import Session

TABLE, SCORES = "prune.csv", "prune-scores.svg"
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)


class Pruned(NamedTuple):
    """A score, in percent, with that share of the adapter's weights gone; bytes of the file of those that are left."""

    task: str
    method: str
    target: str
    seed: int
    sparsity: float
    value: float
    bytes: int


def pruned(evaluation: Evaluation, sparsity: float) -> Evaluation:
    """The same of a task adapter of that sparsity."""
    stage = evaluation.task
    before = stage.method.at_sparsity(sparsity)
    if before is not None:
        task = stage.model_copy(update={"method": before})
    else:
        task = PrunedTask.of(stage, sparsity) if sparsity else stage
    return evaluation.model_copy(update={"task": task})


def prune_adapters(
    planner: Planner, session: Session, results: Path, sparsities: Sequence[float], make: Make
) -> tuple[Path, list[Pruned]]:
    """The run's folder, and what each cell has at each sparsity; what is missing is made first.

    Raises InputError before any work.
    """
    rows = []
    for cell, sparsity, step, result in measure(planner, session, sparsities, pruned, make):
        adapter = session.folder(step.task)
        (size,) = [(adapter / file).stat().st_size for file in (WEIGHTS, PACKED) if (adapter / file).exists()]
        rows.append(Pruned(cell.task, cell.method, cell.target, cell.seed, sparsity, result["value"], size))
    folder = results / planner.recipe.name
    write_table(folder / TABLE, Pruned._fields, rows)
    write_curve(
        folder / SCORES, [(r.method, r.sparsity, r.value) for r in rows],
        "score in percent by the share of the task adapter's weights that is gone; mean over tasks, targets and seeds",
    )  # fmt: skip
    return folder, rows
