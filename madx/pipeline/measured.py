"""A recipe's cells evaluated again and again with one thing changed: a table of it, and curves of means."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from madx.config import InputError
from madx.pipeline.plan import Cell
from madx.pipeline.planner import Planner
from madx.pipeline.whole import Make, run_steps
from madx.report.charts import curve
from madx.stages.evaluate import Evaluation
from madx.stages.session import Session
from madx.writing import write_text

Number = TypeVar("Number", int, float)


class Measured(NamedTuple):
    """What a cell has at one number."""

    cell: Cell
    number: float
    step: Evaluation
    result: dict[str, Any]


def measure(
    planner: Planner,
    session: Session,
    numbers: Sequence[Number],
    changed: Callable[[Evaluation, Number], Evaluation],
    make: Make,
) -> list[Measured]:
    """Every cell at each number; what is missing is made first. Raises InputError before any work."""
    at = [(cell, number, changed(step, number)) for cell, step in scored(planner) for number in numbers]
    return measure_steps(planner, session, at, make)


def scored(planner: Planner) -> list[tuple[Cell, Evaluation]]:
    """The cells that have a test set. Raises InputError."""
    found = [(cell, cell.evaluation) for cell in planner.plan().cells if cell.evaluation is not None]
    if not found:
        raise InputError("no target of the recipe has a test set: there is nothing to measure")
    return found


def measure_steps(
    planner: Planner, session: Session, at: Sequence[tuple[Cell, float, Evaluation]], make: Make
) -> list[Measured]:
    """Each of them with its result; what is missing is made first. Raises InputError before any work."""
    run_steps(planner, session, [step for _, _, step in at], make)
    return [Measured(cell, number, step, session.result(step)) for cell, number, step in at]


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_curve(path: Path, points: Sequence[tuple[str, float, float]], about: str, even: bool = False) -> None:
    """Means over the points of equal name and x; xs at equal distances where they are to be `even`."""
    series: Mapping[str, list[tuple[float, float]]] = {
        name: [
            (x, _mean([p[2] for p in points if p[:2] == (name, x)]))
            for x in sorted({p[1] for p in points if p[0] == name})
        ]
        for name in dict.fromkeys(point[0] for point in points)
    }
    write_text(path, curve(series, about, even))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
