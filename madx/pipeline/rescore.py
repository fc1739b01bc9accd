"""The scores of a run's folder and all statistics on them, from its predictions and run.json alone. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from madx.config import InputError, first_line
from madx.foreign import inside
from madx.report.run_file import CellOf, RunFile, read_run
from madx.scores.bootstrap import draws, interval
from madx.scores.errors import Answered, Confusion, Hardest, errors_of
from madx.scores.levels import Cells, Drawn, Group, groups_of
from madx.scores.paired import Comparison, Difference, differences
from madx.scores.rows import write_rows
from madx.scores.score import Score
from madx.scores.summary import ProfilePoint, Summary, profiles, summaries
from madx.stages.predictions import predictions_path, read_predictions
from madx.stages.scoring import count
from madx.tasks.kinds import kind_named
from madx.tasks.metrics import Metric

MOST_COUNTS = 20_000_000  # examples x labels


class Counted(NamedTuple):
    """A cell's predictions, counted by its metrics, the primary one first."""

    ids: list[str]
    gold: list[Any]
    metrics: list[Metric]
    counts: list[np.ndarray]  # (N, K) each
    answered: Answered


def lacking(folder: Path) -> Path | None:
    """The first of a run's predictions that isn't there. Raises InputError for a folder that can't be a run's."""
    paths = (predictions_of(folder, cell) for cell in read_run(folder).cells)
    return next((path for path in paths if not path.exists()), None)


def predictions_of(folder: Path, cell: CellOf) -> Path:
    """Where a cell's lie. Raises InputError for a link out of the folder."""
    return inside(folder, predictions_path(folder, cell.task, cell.method, cell.target, cell.seed))


def count_cell(folder: Path, run: RunFile, cell: CellOf) -> Counted:
    """Raises InputError for predictions that can't be scored."""
    about = run.tasks[cell.task]
    kind = kind_named(about.kind, str(folder / "run.json"))
    path = predictions_of(folder, cell)
    ids, gold, predicted = read_predictions(path)
    if len(gold) * len(about.labels) > MOST_COUNTS:
        raise InputError(f"{path}: {len(gold)} examples with {len(about.labels)} labels are more than fit in memory")
    try:  # predictions from elsewhere may be of any shape
        has_spaces = cell.target not in about.unspaced
        metrics = kind.metrics(about.metric, about.labels, cell.target, has_spaces, gold)
        counts = [count(metric, gold, predicted) for metric in metrics]
        # what holds nothing to score (a sentence without entities) has no fault
        values = np.where(counts[0].any(1), metrics[0].value(counts[0]), 100.0)
        pairs = (pair for g, p in zip(gold, predicted, strict=True) for pair in kind.labels_of(g, p))
        confused = [pair for pair in pairs if pair[0] != pair[1]]
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: can't be scored as {about.kind}: {first_line(error)[:200]}") from None
    return Counted(ids, gold, metrics, counts, Answered(ids, confused, values.tolist()))


def score_run(folder: Path) -> list[Score]:
    """The scores, written and returned. Raises InputError for a folder that can't be a run's."""
    run = read_run(folder)
    scores = []
    answered: dict[tuple[str, str, str], list[Answered]] = {}
    drawn: dict[tuple[str, str], dict[tuple[str, str, int], Drawn]] = {}
    for cell in run.cells:
        counted = count_cell(folder, run, cell)
        answered.setdefault((cell.task, cell.method, cell.target), []).append(counted.answered)
        for number, (metric, counts_NK) in enumerate(zip(counted.metrics, counted.counts, strict=True)):
            value = float(metric.value(counts_NK.sum(0)))
            resampled = draws(counts_NK, metric.value, run.bootstrap)
            low, high = interval(value, resampled)
            if number == 0:
                key = (cell.method, cell.target, cell.seed)
                drawn.setdefault((cell.task, metric.name), {})[key] = Drawn(value, resampled)
            scores.append(
                Score(
                    model=run.model.name, task=cell.task, metric=metric.name, method=cell.method, source=run.source,
                    target=cell.target, seed=cell.seed, value=value, ci_low=low, ci_high=high, n=len(counted.gold),
                    adapter_ids="+".join(cell.adapters), primary=number == 0,
                )
            )  # fmt: skip
    write_rows(inside(folder, folder / "scores.csv"), Score, scores)
    _write_statistics(folder, run, scores, drawn)
    errors = [errors_of(*key, seeds) for key, seeds in answered.items()]
    write_rows(inside(folder, folder / "confusions.csv"), Confusion, (row for rows, _ in errors for row in rows))
    write_rows(inside(folder, folder / "hardest.csv"), Hardest, (row for _, rows in errors for row in rows))
    return scores


def _shared(groups: Sequence[Group], targets: Mapping[str, Sequence[str]]) -> Group:
    """The first of those that the most methods have whole."""
    return max(groups, key=lambda group: sum(set(group.targets) <= set(codes) for codes in targets.values()))


def _write_statistics(
    folder: Path, run: RunFile, scores: Sequence[Score], drawn: Mapping[tuple[str, str], Cells]
) -> None:
    """summary.csv, differences.csv, comparisons.csv and profiles.csv. The source is never part of a mean."""
    summary, paired, compared, points = [], [], [], []
    for (task, metric), cells in drawn.items():
        targets: dict[str, list[str]] = {}
        for method, target, _ in cells:
            targets.setdefault(method, []).extend([target] if target not in run.sources else [])
        groups = groups_of(targets, {target: run.labels(target) for _, target, _ in cells})
        sizes = {score.target: score.n for score in scores if score.task == task}
        summary += summaries(task, metric, cells, sizes, groups)
        rows, counts = differences(task, metric, cells, groups)
        paired += rows
        compared += counts
        points += profiles(task, metric, cells, _shared(groups, targets)) if groups else []
    write_rows(inside(folder, folder / "summary.csv"), Summary, summary)
    write_rows(inside(folder, folder / "differences.csv"), Difference, paired)
    write_rows(inside(folder, folder / "comparisons.csv"), Comparison, compared)
    write_rows(inside(folder, folder / "profiles.csv"), ProfilePoint, points)
