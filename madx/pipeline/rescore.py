"""scores.csv and differences.csv of a run's folder, from its predictions and run.json alone. No torch."""

from pathlib import Path

from madx.config import InputError, first_line
from madx.foreign import inside
from madx.report.run_file import read_run
from madx.scores.bootstrap import draws, interval
from madx.scores.paired import Difference, Drawn, differences
from madx.scores.rows import write_rows
from madx.scores.score import Score
from madx.stages.predictions import predictions_path, read_predictions
from madx.stages.scoring import count
from madx.tasks.kinds import kind_named

MOST_COUNTS = 20_000_000  # examples x labels


def score_run(folder: Path) -> list[Score]:
    """The scores, written and returned. Raises InputError for a folder that can't be a run's."""
    run = read_run(folder)
    scores = []
    drawn: dict[tuple[str, str], dict[tuple[str, str, int], Drawn]] = {}
    for cell in run.cells:
        about = run.tasks[cell.task]
        kind = kind_named(about.kind, str(folder / "run.json"))
        path = inside(folder, predictions_path(folder, cell.task, cell.method, cell.target, cell.seed))
        gold, predicted = read_predictions(path)
        if len(gold) * len(about.labels) > MOST_COUNTS:
            raise InputError(
                f"{path}: {len(gold)} examples with {len(about.labels)} labels are more than fit in memory"
            )
        try:  # predictions from elsewhere may be of any shape
            metrics = kind.metrics(about.metric, about.labels, cell.target, cell.target not in about.unspaced)
            counts = [count(metric, gold, predicted) for metric in metrics]
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: can't be scored as {about.kind}: {first_line(error)[:200]}") from None
        for number, (metric, counts_NK) in enumerate(zip(metrics, counts, strict=True)):
            value = float(metric.value(counts_NK.sum(0)))
            resampled = draws(counts_NK, metric.value, run.bootstrap)
            low, high = interval(value, resampled)
            if number == 0:
                key = (cell.method, cell.target, cell.seed)
                drawn.setdefault((cell.task, metric.name), {})[key] = Drawn(value, resampled)
            scores.append(
                Score(
                    model=run.model.name, task=cell.task, metric=metric.name, method=cell.method, source=run.source,
                    target=cell.target, seed=cell.seed, value=value, ci_low=low, ci_high=high, n=len(gold),
                    adapter_ids="+".join(cell.adapters), primary=number == 0,
                )
            )  # fmt: skip
    write_rows(inside(folder, folder / "scores.csv"), Score, scores)
    sources = run.source.split("+")
    rows = [row for (task, name), cells in drawn.items() for row in differences(task, name, cells, sources)]
    write_rows(inside(folder, folder / "differences.csv"), Difference, rows)
    return scores
