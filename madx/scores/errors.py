"""Error analysis of a cell: which labels are taken for which, and the sentences that go worst. Ids, never text."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from madx.config import Frozen

MOST_CONFUSIONS, MOST_HARDEST = 8, 5


class Confusion(Frozen):
    """How often `gold` was taken for `predicted`, all seeds together."""

    task: str
    method: str
    target: str
    gold: str
    predicted: str
    times: int


class Hardest(Frozen):
    """A test example and its score, mean over seeds, in percent."""

    task: str
    method: str
    target: str
    id: str
    value: float


class Answered(NamedTuple):
    """A seed's answers to a test set."""

    ids: Sequence[str]
    confused: Sequence[tuple[str, str]]  # gold and predicted, of every word or example whose label is wrong
    values: Sequence[float]  # of each example


def errors_of(task: str, method: str, target: str, seeds: Sequence[Answered]) -> tuple[list[Confusion], list[Hardest]]:
    """The most frequent confusions, and the examples with the lowest scores, none of them without a fault."""
    pairs = Counter(pair for seed in seeds for pair in seed.confused)
    values: dict[str, list[float]] = {}
    for seed in seeds:
        for id_, value in zip(seed.ids, seed.values, strict=True):
            values.setdefault(id_, []).append(value)
    means = {id_: sum(own) / len(own) for id_, own in values.items()}
    worst = sorted((id_ for id_ in means if means[id_] < 100), key=lambda id_: means[id_])[:MOST_HARDEST]
    about = {"task": task, "method": method, "target": target}
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSIONS]
    confusions = [
        Confusion(**about, gold=gold, predicted=predicted, times=times) for (gold, predicted), times in ordered
    ]
    return confusions, [Hardest(**about, id=id_, value=means[id_]) for id_ in worst]
