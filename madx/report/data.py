"""What the page's script draws from: one JSON value."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from madx.report.costs import Cost
from madx.report.run_file import RunFile
from madx.report.tables import reference_of
from madx.scores.errors import Confusion, Hardest
from madx.scores.matrix import Matrix
from madx.scores.paired import Comparison, Difference
from madx.scores.rows import read_rows
from madx.scores.score import Score
from madx.scores.summary import ProfilePoint, Summary

Value = dict[str, object]


@dataclass(frozen=True)
class Statistics:
    """All rows of a run's CSV files."""

    scores: list[Score]
    summary: list[Summary]
    differences: list[Difference]
    comparisons: list[Comparison]
    profiles: list[ProfilePoint]
    confusions: list[Confusion]
    hardest: list[Hardest]


def read_statistics(folder: Path, scores: list[Score]) -> Statistics:
    """As `score_run` has written them."""
    return Statistics(
        scores,
        read_rows(folder / "summary.csv", Summary),
        read_rows(folder / "differences.csv", Difference),
        read_rows(folder / "comparisons.csv", Comparison),
        read_rows(folder / "profiles.csv", ProfilePoint),
        read_rows(folder / "confusions.csv", Confusion),
        read_rows(folder / "hardest.csv", Hardest),
    )


def page_data(run: RunFile, matrices: Sequence[Matrix], statistics: Statistics, costs: Sequence[Cost]) -> str:
    """JSON that may stand in a <script>: no `<` is left in it."""
    value = {
        "name": run.name,
        "languages": {code: _language(run, code) for code in dict.fromkeys(t for m in matrices for t in m.rows)
                      if code in run.languages or code in run.texts},
        "tasks": [_task(run, matrix, statistics) for matrix in matrices],
        "costs": [asdict(cost) for cost in costs],
        "curves": [
            {"name": name, "label": name.rsplit("-", 1)[0] + _twin(name, run), "points": points}
            for name, points in run.curves.items()
        ],
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _twin(name: str, run: RunFile) -> str:
    """The digest's start where several trainings are of one subject."""
    base, _, digest = name.rpartition("-")
    return f" {digest[:4]}" if sum(other.rsplit("-", 1)[0] == base for other in run.curves) > 1 else ""


def _language(run: RunFile, code: str) -> Value:
    text = run.texts.get(code)
    test = next((test for test in run.tests if test.target == code), None)
    # of the text; of the test set where no text was used
    health = text or (test.health if test else None)
    return {
        "name": run.called(code),
        "labels": run.labels(code),
        "tokens": text.tokens if text else None,
        "unknown": _short(100 * health.unknown_rate) if health else None,
        "subwords": _short(health.subwords_per_word) if health else None,
    }


def _short(value: float) -> float:
    return round(value, 3)


def _task(run: RunFile, matrix: Matrix, statistics: Statistics) -> Value:
    differences: dict[str, dict[str, dict[str, list[object]]]] = {}
    for d in statistics.differences:
        if d.task == matrix.task:
            numbers = [_short(x) for x in (d.value, d.ci_low, d.ci_high)]
            own = differences.setdefault(d.method, {}).setdefault(d.baseline, {})
            own[d.target] = [*numbers, float(f"{d.p_holm:.2g}"), d.resampled, d.targets]
    return {
        "name": matrix.task,
        "metric": matrix.metric,
        "methods": matrix.methods,
        "seeds": matrix.seeds,
        "reference": reference_of(matrix) or matrix.methods[0],
        "rows": [_row(matrix, target) for target in matrix.rows],
        "failed": {
            method: {c.target: c.why for c in run.failed if (c.task, c.method) == (matrix.task, method)}
            for method in {c.method for c in run.failed}
        },
        "differences": differences,
        "profile": [
            [p.method, *(_short(x) for x in (p.score, p.share, p.ci_low, p.ci_high))]
            for p in statistics.profiles
            if p.task == matrix.task
        ],
        "errors": _errors(matrix.task, statistics),
    }


def _row(matrix: Matrix, target: str) -> Value:
    about = matrix.about(target)
    cells = {}
    for method in matrix.methods:
        if row := matrix.at(target, method):
            spread = None if row.spread is None else _short(row.spread)
            cells[method] = [_short(row.value), _short(row.ci_low), _short(row.ci_high), spread, row.seeds]
    return {
        "target": target,
        "mean": target in matrix.means,
        "source": target in matrix.sources,
        "n": about.sentences,
        "targets": about.targets,
        "cells": cells,
    }


def _errors(task: str, statistics: Statistics) -> dict[str, dict[str, dict[str, list[list[object]]]]]:
    found: dict[str, dict[str, dict[str, list[list[object]]]]] = {}

    def of(method: str, target: str) -> dict[str, list[list[object]]]:
        return found.setdefault(method, {}).setdefault(target, {"confusions": [], "hardest": []})

    for c in statistics.confusions:
        if c.task == task:
            of(c.method, c.target)["confusions"].append([c.gold, c.predicted, c.times])
    for h in statistics.hardest:
        if h.task == task:
            of(h.method, h.target)["hardest"].append([h.id, _short(h.value)])
    return found
