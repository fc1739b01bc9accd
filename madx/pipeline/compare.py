"""Two runs, cell by cell: the first minus the second, paired where the test examples are the same."""

from pathlib import Path

import numpy as np

from madx.config import Frozen, InputError
from madx.pipeline.rescore import count_cell
from madx.report.run_file import CellOf, RunFile, read_run
from madx.scores.bootstrap import draws
from madx.scores.levels import Cells, Drawn, groups_of
from madx.scores.paired import Difference, differences

FIRST, SECOND = "first", "second"


class Compared(Frozen):
    """A method on a target, or on the mean of a group of them, in both runs.

    `paired`: the examples have the same ids and gold labels in both, so what is hard about one falls out.
    """

    task: str
    metric: str
    method: str
    target: str
    paired: bool
    value: float  # first - second, in points
    ci_low: float
    ci_high: float
    p_holm: float
    seeds: int
    resampled: str


def compare_runs(first: Path, second: Path) -> list[Compared]:
    """Every task, method and target that both have. Raises InputError where there is none, or metrics differ."""
    folders = {FIRST: first, SECOND: second}
    runs = {name: read_run(folder) for name, folder in folders.items()}
    names = {name: {(c.task, c.method, c.target): None for c in run.cells} for name, run in runs.items()}
    common = [key for key in names[FIRST] if key in names[SECOND]]
    if not common:
        raise InputError(f"{first} and {second}: no task, method and target is in both; there is nothing to compare")
    for task in {task for task, _, _ in common}:
        metrics = [run.tasks[task].metric for run in runs.values()]
        if metrics[0] != metrics[1]:
            raise InputError(
                f"{first} and {second}: '{task}' is scored by {metrics[0]} in one, {metrics[1]} in the other"
            )
    rows = []
    for task, method in dict.fromkeys((task, method) for task, method, _ in common):
        targets = [target for t, m, target in common if (t, m) == (task, method)]
        rows += _of_method(folders, runs, task, method, targets)
    return rows


def _of_method(
    folders: dict[str, Path], runs: dict[str, RunFile], task: str, method: str, targets: list[str]
) -> list[Compared]:
    cells: dict[tuple[str, str, int], Drawn] = {}
    contents: dict[str, set[tuple[str, str]]] = {target: set() for target in targets}
    resamples = min(run.bootstrap for run in runs.values())
    for name, run in runs.items():
        for cell in run.cells:
            if (cell.task, cell.method) == (task, method) and cell.target in contents:
                cells[name, cell.target, cell.seed] = _drawn(folders[name], run, cell, resamples, contents)
    means = _common_seeds(cells)
    sources = runs[FIRST].sources
    own = [target for target in targets if target not in sources]
    groups = groups_of({method: own}, {target: runs[FIRST].labels(target) for target in own})
    found, _ = differences(task, runs[FIRST].tasks[task].metric, means, groups)
    same = {target: len(content) == 1 for target, content in contents.items()}
    return [_row(row, method, same.get(row.target, all(same[t] for t in own))) for row in found]


def _drawn(
    folder: Path, run: RunFile, cell: CellOf, resamples: int, contents: dict[str, set[tuple[str, str]]]
) -> Drawn:
    counted = count_cell(folder, run, cell)
    contents[cell.target].add((repr(counted.ids), repr(counted.gold)))
    metric, counts_NK = counted.metrics[0], counted.counts[0]
    return Drawn(float(metric.value(counts_NK.sum(0))), draws(counts_NK, metric.value, resamples))


def _common_seeds(cells: Cells) -> Cells:
    """Seeds of two runs are no pairs: a run's are one mean each where their numbers aren't the same."""
    found = {}
    for name, target in dict.fromkeys((name, target) for name, target, _ in cells):
        own = [
            drawn for (n, t, _), drawn in sorted(cells.items(), key=lambda item: item[0][2]) if (n, t) == (name, target)
        ]
        other = sum((t, n != name) == (target, True) for n, t, _ in cells)
        if len(own) == other:
            found.update({(name, target, number): drawn for number, drawn in enumerate(own)})
        else:
            mean_R = np.mean([drawn.draws_R for drawn in own], axis=0)
            found[name, target, 0] = Drawn(sum(drawn.value for drawn in own) / len(own), mean_R)
    return found


def _row(row: Difference, method: str, paired: bool) -> Compared:
    return Compared(
        task=row.task, metric=row.metric, method=method, target=row.target, paired=paired, value=row.value,
        ci_low=row.ci_low, ci_high=row.ci_high, p_holm=row.p_holm, seeds=row.seeds, resampled=row.resampled,
    )  # fmt: skip
