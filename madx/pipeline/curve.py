"""What a language's text is worth: each cell of a recipe with ever more of it, from none on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import InputError
from madx.pipeline.grid import GRID
from madx.pipeline.measured import measure_steps, scored, write_curve, write_table
from madx.pipeline.planner import Planner
from madx.pipeline.whole import Make
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import closure

TABLE, SCORES = "curve.csv", "curve-scores.svg"


class Amount(NamedTuple):
    """A score, in percent, with at most so many lines of a language's text to train on."""

    task: str
    method: str
    target: str
    seed: int
    lines: int
    tokens: int  # of the target's text that the method trained on
    value: float


def by_amount(
    planner: Planner, session: Session, results: Path, lines: Sequence[int], make: Make
) -> tuple[Path, list[Amount]]:
    """The run's folder, and what each cell has with each number of `lines`; what is missing is made first.

    The sources keep all of their text. At 0 lines only the methods stand that need none. Raises InputError before any
    work.
    """
    at = [(cell, number, step) for number in lines for cell, step in scored(_with_lines(planner, number))
          if cell.target not in planner.source_codes]  # fmt: skip
    rows = []
    for cell, number, step, result in measure_steps(planner, session, at, make):
        texts = [s for s in closure([step]) if isinstance(s, TextStage) and s.subject == cell.target]
        tokens = sum(session.result(text)["tokens"] for text in texts)
        rows.append(Amount(cell.task, cell.method, cell.target, cell.seed, int(number), tokens, result["value"]))
    folder = results / planner.recipe.name
    write_table(folder / TABLE, Amount._fields, rows)
    write_curve(
        folder / SCORES, [(r.method, r.lines, r.value) for r in rows],
        "score in percent by lines of the target's text; mean over tasks, targets and seeds", even=True,
    )  # fmt: skip
    return folder, rows


def _with_lines(planner: Planner, lines: int) -> Planner:
    """The same recipe where languages other than the sources have at most so many lines of text."""
    recipe = planner.recipe
    changed: dict[str, Any] = {"text_lines": lines}
    if not lines:
        methods = tuple(method for method in recipe.methods if not GRID[method].needs_text)
        if not methods:
            raise InputError("0 lines: each of the recipe's methods needs text; leave 0 out")
        others = {*planner.languages_with_text} - {*planner.source_codes}
        changed = {"methods": methods, "without_text": (*recipe.without_text, *sorted(others))}
    recipe = recipe.model_copy(update=changed)
    return Planner(recipe, planner.catalogue, planner.data, planner.beside, planner.encoder.precision)
