"""Predicting and scoring labelled examples: a source's dev set in stage two, a target's test set in stage three."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from madx.encoders.encoder import Encoder
from madx.tasks.data import LabelledData
from madx.tasks.examples import Example, Tokens, parts_by_length
from madx.tasks.metrics import Metric, metrics_of


@torch.no_grad()
def decode_all(
    encoder: Encoder, head: nn.Module, data: LabelledData, examples: Sequence[Example], tokens: Tokens
) -> list[Any]:
    """One prediction per example, from the encoder as it is now set up."""
    kind = data.kind
    features = kind.features(examples, tokens, data.task)
    decoded: list[Any] = [None] * len(features)
    head.eval()
    for chosen, batch in parts_by_length(features, encoder):
        states = encoder.hidden(batch.ids_BT, batch.mask_BT, batch.types_BT, kind.read_positions(batch))
        for i, value in zip(chosen, kind.decode(head, states, batch), strict=True):
            decoded[i] = value
    head.train()
    return kind.join(examples, features, decoded, data.task)  # type: ignore[no-any-return]


def gold_of(example: Example) -> Any:
    """What a prediction is compared with: for questions, the answers' texts."""
    if isinstance(example.gold, list) and example.gold and isinstance(example.gold[0], dict):
        return [answer["text"] for answer in example.gold]
    return example.gold


def score_examples(data: LabelledData, examples: Sequence[Example], predicted: Sequence[Any]) -> list[float]:
    """The values of the task's metrics, in percent, the primary one first."""
    values = []
    for metric in metrics_of(data.task.kind, data.task.metric, data.task.labels, data.has_spaces):
        counts = count(metric, [gold_of(e) for e in examples], predicted)
        values.append(float(metric.value(counts.sum(0))))
    return values


def count(metric: Metric, gold: Sequence[Any], predicted: Sequence[Any]) -> np.ndarray:
    """Counts per example, (N, K)."""
    return np.array([metric.counts(g, p) for g, p in zip(gold, predicted, strict=True)], dtype=np.float64)
