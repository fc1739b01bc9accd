"""One score is one line of scores.csv."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from madx.config import Frozen, InputError
from madx.store import write_text


class Score(Frozen):
    """A cell: a method, trained on `source` with `seed`, scored on the test set of `target`. In percent."""

    model: str
    task: str
    metric: str
    method: str
    source: str
    target: str
    seed: int
    value: float
    ci_low: float
    ci_high: float
    n: int
    steps_seconds: float  # of training everything this cell stands on and of its evaluation
    adapter_ids: str  # the folders in the store, joined by +
    primary: bool = True


def write_scores(path: Path, scores: Iterable[Score]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(Score.model_fields), lineterminator="\n")
    writer.writeheader()
    for score in scores:
        writer.writerow(score.model_dump())
    write_text(path, buffer.getvalue())


def read_scores(path: Path) -> list[Score]:
    """Raises InputError with file:line."""
    if not path.exists():
        raise InputError(f"{path}: no such file; a run writes it")
    with open(path, encoding="utf-8", newline="") as file:
        scores = []
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                scores.append(Score.model_validate(row))
            except ValueError as error:
                raise InputError(f"{path}:{number}: {str(error).splitlines()[1].strip()}") from None
        return scores
