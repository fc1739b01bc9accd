"""Stage three: zero-shot evaluation. The target's language adapter is swapped in below the task adapter, and a
language is scored for which no label was ever seen (Pfeiffer et al. 2020, section 3.2).

The evaluator knows no adapters: it retargets and scores.
"""

import gzip
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

from madx.config import Frozen
from madx.encoders.int8 import int8_weights
from madx.stages.language import ImportedAdapter, LanguageStage, attach_language
from madx.stages.scoring import decode_all, gold_of, score_examples
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.store import write_bytes
from madx.tasks.data import LabelledData
from madx.tasks.examples import Example, Tokens

PREDICTIONS = "predictions.jsonl.gz"


class Evaluation(Frozen):
    stage: ClassVar[str] = "evaluation"
    version: int = 1
    task: TaskStage
    language: LanguageStage | ImportedAdapter | None  # the adapter that is swapped in
    test: LabelledData
    weights: Literal["fp32", "int8"] = "fp32"  # of the frozen encoder

    @property
    def subject(self) -> str:
        return f"{self.task.subject}-{self.test.language}"

    def run(self, folder: Path, session: Session) -> dict[str, Any]:
        encoder = session.encoder(self.task.encoder)
        began = time.perf_counter()
        with encoder.lent(*self.task.method.changes(encoder)):
            head = self.task.attach(encoder, session)
            self.task.retarget(encoder, attach_language(self.language, encoder, session) if self.language else None)
            tokens = Tokens(encoder.tokenizer, min(self.task.max_length, encoder.max_length))
            examples = self.test.load()
            with int8_weights(encoder.base) if self.weights == "int8" else nullcontext():
                predicted = decode_all(encoder, head, self.test, examples, tokens)
        write_predictions(folder / PREDICTIONS, self.test, examples, predicted)
        return {
            "value": score_examples(self.test, examples, predicted)[0],
            "examples": len(examples),
            "evaluation_seconds": round(time.perf_counter() - began, 2),
            "warnings": [],
        }


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
