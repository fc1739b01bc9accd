"""scores.csv and differences.csv of a run's folder, from its predictions and run.json alone. No torch."""

from pathlib import Path

from madx.scores.bootstrap import draws, interval
from madx.scores.paired import Difference, Drawn, differences
from madx.scores.rows import write_rows
from madx.scores.score import Score
from madx.stages.predictions import read_predictions
from madx.stages.scoring import count
from madx.store import read_json
from madx.tasks.kinds import kind_named


def score_run(folder: Path) -> list[Score]:
    """The scores, written and returned. Raises InputError for a folder that can't be a run's."""
    run = read_json(folder / "run.json")
    scores = []
    drawn: dict[tuple[str, str], dict[tuple[str, str, int], Drawn]] = {}
    for cell in run["cells"]:
        about = run["tasks"][cell["task"]]
        kind = kind_named(about["kind"], str(folder / "run.json"))
        gold, predicted = read_predictions(folder / cell["file"])
        target = cell["target"]
        metrics = kind.metrics(about["metric"], about["labels"], target, target not in about["unspaced"])
        for number, metric in enumerate(metrics):
            counts = count(metric, gold, predicted)
            value = float(metric.value(counts.sum(0)))
            resampled = draws(counts, metric.value, run["bootstrap"])
            low, high = interval(value, resampled)
            if number == 0:
                key = (cell["method"], cell["target"], cell["seed"])
                drawn.setdefault((cell["task"], metric.name), {})[key] = Drawn(value, resampled)
            scores.append(
                Score(
                    model=run["model"]["name"], task=cell["task"], metric=metric.name, method=cell["method"],
                    source=run["source"], target=cell["target"], seed=cell["seed"], value=value, ci_low=low,
                    ci_high=high, n=len(gold),
                    adapter_ids="+".join(cell["adapters"]), primary=number == 0,
                )
            )  # fmt: skip
    write_rows(folder / "scores.csv", Score, scores)
    sources = run["source"].split("+")
    rows = [row for (task, name), cells in drawn.items() for row in differences(task, name, cells, sources)]
    write_rows(folder / "differences.csv", Difference, rows)
    return scores
