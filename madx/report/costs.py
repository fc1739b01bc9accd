"""What a method costs: the steps that its cells stand on."""

from dataclasses import dataclass

import pandas as pd

from madx.report.run_file import RunFile
from madx.scores.matrix import Matrix


@dataclass(frozen=True)
class Cost:
    """Means over a method's cells: all that one target's answers with one seed stand on, evaluation apart."""

    task: str
    method: str
    parameters: float  # trained
    bytes: float
    seconds: float
    memory_mb: float  # the greatest
    tokens_per_s: float  # in training
    value: float | None  # score over the targets that every method has


def costs_of(run: RunFile, matrix: Matrix) -> list[Cost]:
    """In the matrix's order; 0: not known, as where the size of one of the steps isn't in run.json."""
    group = next((n for n in ("mean of common targets", "mean of targets") if n in matrix.means), None)
    found = []
    for method in matrix.methods:
        cells = [c for c in run.cells if (c.task, c.method) == (matrix.task, method) and c.target not in run.sources]
        steps = [[run.steps[name] for name in cell.adapters if name in run.steps] for cell in cells]
        every = [step for own in steps for step in own]
        if not every:
            continue
        timed = [(step.tokens, step.tokens / step.tokens_per_s) for step in every if step.tokens and step.tokens_per_s]
        tokens, took = (sum(column) for column in zip(*timed, strict=True)) if timed else (0, 0.0)
        mean = matrix.at(group, method) if group else None
        sized = all(step.bytes is not None for step in every)
        found.append(
            Cost(
                task=matrix.task, method=method,
                parameters=sum(step.parameters or 0 for step in every) / len(steps) if sized else 0.0,
                bytes=sum(step.bytes or 0 for step in every) / len(steps) if sized else 0.0,
                seconds=sum(step.seconds for step in every) / len(steps),
                memory_mb=max(step.memory_mb or 0 for step in every),
                tokens_per_s=tokens / took if took else 0.0,
                value=mean.value if mean else None,
            )
        )  # fmt: skip
    return found


def known(value: float) -> str:
    return f"{value:,.0f}" if value else "not known"


def cost_table(costs: list[Cost]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": [c.task for c in costs],
            "trained parameters": [known(c.parameters) for c in costs],
            "bytes": [known(c.bytes) for c in costs],
            "seconds": [known(c.seconds) for c in costs],
            "memory, MB": [known(c.memory_mb) for c in costs],
            "tokens a second": [known(c.tokens_per_s) for c in costs],
        },
        index=[c.method for c in costs],
    )
