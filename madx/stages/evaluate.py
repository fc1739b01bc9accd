"""Stage three: zero-shot evaluation. The target's language adapter is swapped in below the task adapter, and a
language is scored for which no label was ever seen (Pfeiffer et al. 2020, section 3.2).

The evaluator knows no adapters: it retargets and scores.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from madx.config import Frozen
from madx.encoders.encoder import Encoder
from madx.stages.language import ImportedAdapter, LanguageStage, attach_language
from madx.stages.session import Session
from madx.store import write_bytes
from madx.tasks.data import LabelledData
from madx.tasks.examples import Example, Tokens, evaluation_batches, pad
from madx.tasks.metrics import Metric, metrics_of

if TYPE_CHECKING:
    from madx.stages.task import TaskStage

PREDICTIONS = "predictions.jsonl.gz"


class Evaluation(Frozen):
    stage: ClassVar[str] = "evaluation"
    version: int = 1
    task: TaskStage
    language: LanguageStage | ImportedAdapter | None  # the adapter that is swapped in
    test: LabelledData

    @property
    def subject(self) -> str:
        return f"{self.task.subject}-{self.test.language}"

    def run(self, folder: Path, session: Session) -> dict[str, Any]:
        encoder = session.encoder(self.task.encoder)
        began = time.perf_counter()
        with encoder.training(*(encoder.base.parameters() if self.task.method.kind == "full" else ())):
            encoder.model.eval()
            head = self.task.attach(encoder, session)
            self.task.retarget(encoder, attach_language(self.language, encoder, session) if self.language else None)
            tokens = Tokens(encoder.tokenizer, min(self.task.max_length, encoder.max_length))
            examples = self.test.load()
            predicted = decode_all(encoder, head, self.test, examples, tokens, session)
        write_predictions(folder / PREDICTIONS, self.test, examples, predicted)
        return {
            "value": score_examples(self.test, examples, predicted)[0],
            "examples": len(examples),
            "evaluation_seconds": round(time.perf_counter() - began, 2),
            "warnings": [],
        }


@torch.no_grad()
def decode_all(
    encoder: Encoder, head: nn.Module, data: LabelledData, examples: Sequence[Example], tokens: Tokens, session: Session
) -> list[Any]:
    """One prediction per example, from the encoder as it is now set up."""
    kind = data.kind
    features = kind.features(examples, tokens, data.task)
    decoded: list[Any] = [None] * len(features)
    head.eval()
    for chosen in evaluation_batches(features, session.micro_tokens):
        batch = pad([features[i] for i in chosen], encoder.tokenizer.pad_token_id, session.device, encoder.has_types)
        hidden_BTD = encoder.hidden(batch.ids_BT, batch.mask_BT, batch.types_BT)
        for i, value in zip(chosen, kind.decode(head, hidden_BTD, batch), strict=True):
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


def write_predictions(path: Path, data: LabelledData, examples: Sequence[Example], predicted: Sequence[Any]) -> None:
    """One JSON line per example: id, gold, predicted. No text: predictions can be shared where the corpus can't."""
    lines = [
        json.dumps({"id": e.id, "gold": gold_of(e), "predicted": p}, ensure_ascii=False)
        for e, p in zip(examples, predicted, strict=True)
    ]
    write_bytes(path, gzip.compress("\n".join(lines).encode("utf-8") + b"\n", mtime=0))


def read_predictions(path: Path) -> tuple[list[Any], list[Any]]:
    """(gold, predicted)."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["gold"] for row in rows], [row["predicted"] for row in rows]
