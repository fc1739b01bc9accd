"""One score is one line of scores.csv."""

from madx.config import Frozen


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
    adapter_ids: str  # the folders in the store, joined by +
    primary: bool = True
