"""Scoring predictions: a source's dev set in stage two, a target's test set in stage three."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from madx.tasks.data import LabelledData
from madx.tasks.examples import Example
from madx.tasks.metrics import Metric


def score_examples(data: LabelledData, examples: Sequence[Example], predicted: Sequence[Any]) -> list[float]:
    """The values of the task's metrics, in percent, the primary one first."""
    gold = [data.kind.gold(example) for example in examples]
    metrics = data.kind.metrics(data.task.metric, data.task.labels, data.language, data.has_spaces, gold)
    return [float(metric.value(count(metric, gold, predicted).sum(0))) for metric in metrics]


def count(metric: Metric, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
    """Counts per example, (N, K)."""
    return np.array([metric.counts(g, p) for g, p in zip(gold, predicted, strict=True)], dtype=np.float64)
