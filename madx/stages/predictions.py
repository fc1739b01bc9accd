"""Predictions as a file: one JSON line an example. No text: they can be shared where the corpus can't. No torch."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from madx.config import InputError
from madx.foreign import open_regular, parse_json
from madx.tasks.data import LabelledData
from madx.tasks.examples import Example
from madx.writing import write_bytes

PREDICTIONS = "predictions.jsonl.gz"
LARGEST = 64 << 20  # bytes, unpacked: some million sentences


def predictions_path(run: Path, task: str, method: str, target: str, seed: int) -> Path:
    """Where a run's folder has those of a cell."""
    return run / "predictions" / task / method / f"{target}.seed{seed}.jsonl.gz"


def write_predictions(path: Path, data: LabelledData, examples: Sequence[Example], predicted: Sequence[Any]) -> None:
    """id, gold, predicted."""
    lines = [
        json.dumps({"id": e.id, "gold": data.kind.gold(e), "predicted": p}, ensure_ascii=False)
        for e, p in zip(examples, predicted, strict=True)
    ]
    write_bytes(path, gzip.compress("\n".join(lines).encode("utf-8") + b"\n", mtime=0))


class Predictions(NamedTuple):
    """A line of the file each."""

    ids: list[str]
    gold: list[Any]
    predicted: list[Any]


def read_predictions(path: Path) -> Predictions:
    """Raises InputError with file:line."""
    try:
        with open_regular(path) as packed, gzip.open(packed, "rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file: {error}") from None
    if len(content) > LARGEST:
        raise InputError(f"{path}: more than {LARGEST >> 20} MiB of predictions")
    found = Predictions([], [], [])
    for number, line in enumerate(content.splitlines(), 1):
        row = parse_json(line, f"{path}:{number}")
        if not isinstance(row, dict) or not row.keys() >= {"gold", "predicted"}:
            raise InputError(f"{path}:{number}: no object with 'gold' and 'predicted'")
        found.ids.append(str(row.get("id", number)))
        found.gold.append(row["gold"])
        found.predicted.append(row["predicted"])
    if not found.gold:
        raise InputError(f"{path}: holds no predictions")
    return found
