"""Predictions as a file: one JSON line an example. No text: they can be shared where the corpus can't. No torch."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from madx.store import write_bytes
from madx.tasks.data import LabelledData
from madx.tasks.examples import Example

PREDICTIONS = "predictions.jsonl.gz"


def write_predictions(path: Path, data: LabelledData, examples: Sequence[Example], predicted: Sequence[Any]) -> None:
    """id, gold, predicted."""
    lines = [
        json.dumps({"id": e.id, "gold": data.kind.gold(e), "predicted": p}, ensure_ascii=False)
        for e, p in zip(examples, predicted, strict=True)
    ]
    write_bytes(path, gzip.compress("\n".join(lines).encode("utf-8") + b"\n", mtime=0))


def read_predictions(path: Path) -> tuple[list[Any], list[Any]]:
    """(gold, predicted)."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["gold"] for row in rows], [row["predicted"] for row in rows]
