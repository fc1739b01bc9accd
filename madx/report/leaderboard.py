"""One static page over all runs of a folder: index.html, with a line for each run, task and method."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from madx.config import InputError
from madx.foreign import inside
from madx.report.run_file import RunFile
from madx.report.tables import with_interval
from madx.scores.matrix import Matrix
from madx.scores.rows import read_rows
from madx.scores.summary import Summary
from madx.writing import write_text

HERE = Path(__file__).parent
GROUPS = ("mean of targets", "mean of common targets", "mean of unseen", "mean of seen")


class Line(NamedTuple):
    """A method of a run's task."""

    folder: str
    run: str
    model: str
    source: str
    task: str
    metric: str
    method: str
    targets: int
    means: list[str]  # of GROUPS, with intervals
    best: float  # what it is sorted by


def runs_below(folder: Path) -> list[Path]:
    """The folders in it that are a run's. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory")
    found = sorted(path.parent for path in folder.glob("*/run.json"))
    if not found:
        raise InputError(f"{folder}: no run's folder is in it (one that holds run.json)")
    return found


def write_leaderboard(folder: Path, runs: Sequence[tuple[Path, RunFile]]) -> Path:
    """From summary.csv of runs that are scored; links are relative, so that the folder can go on any web server."""
    lines = [line for path, run in runs for line in _lines(path, run)]
    tables = [
        (task, metric, sorted((x for x in lines if (x.task, x.metric) == (task, metric)), key=lambda x: -x.best))
        for task, metric in dict.fromkeys((line.task, line.metric) for line in lines)
    ]
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (HERE / "leaderboard.html").read_text(encoding="utf-8")
    )
    css = (HERE / "page.css").read_text(encoding="utf-8")
    groups = [group.removeprefix("mean of ") for group in GROUPS]
    write_text(
        inside(folder, folder / "index.html"), page.render(tables=tables, groups=groups, css=css, runs=len(runs))
    )
    return folder / "index.html"


def _lines(path: Path, run: RunFile) -> list[Line]:
    rows = read_rows(path / "summary.csv", Summary)
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        matrix = Matrix(rows, task, run.sources)
        for method in matrix.methods:
            means = [matrix.at(group, method) for group in GROUPS]
            known = [row for row in means if row]
            found.append(
                Line(
                    path.name, run.name, run.model.name, run.source, task, matrix.metric, method,
                    known[0].targets if known else 0, [with_interval(row) for row in means],
                    known[0].value if known else -1.0,
                )
            )  # fmt: skip
    return found
