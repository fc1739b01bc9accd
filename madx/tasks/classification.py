"""Classification of one text or a pair (topic, sentiment, natural language inference)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import HubData, TaskSpec
from madx.tasks.examples import Example, Feature, check_label, hub_rows, label_name, read_rows
from madx.tasks.flexible import first_token, new_head
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, accuracy, macro_f1

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("accuracy", "macro-f1")


def check(spec: TaskSpec) -> None:
    if len(spec.labels) < 2:
        raise ValueError("a classification task needs at least two labels")


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("classification", len(spec.labels), width, layers=2, labels=spec.labels)


def read(path: Path, spec: TaskSpec) -> list[Example]:
    """TSV with a header, or JSON lines. Raises InputError with file:line."""
    names = spec.columns
    wanted = [c for c in (names.text, names.pair, names.label) if c]
    return [
        Example(
            str(i),
            (str(row[names.text]), str(row[names.pair]) if names.pair else None),
            check_label(str(row[names.label]), spec.labels, where),
        )
        for i, (where, row) in enumerate(read_rows(path, wanted))
    ]


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> list[Example]:
    features, rows = hub_rows(hub, split)
    names, where = hub.columns or spec.columns, f"{hub.dataset} ({hub.config}, {split})"
    return [
        Example(
            str(i),
            (row[names.text], row[names.pair] if names.pair else None),
            check_label(label_name(features, names.label, row[names.label]), spec.labels, where),
        )
        for i, row in enumerate(rows)
    ]


def read_plain(lines: Iterator[str]) -> list[Example]:
    """One text a line; a pair is separated by a tab."""
    rows = [line.rstrip("\n").split("\t") for line in lines if line.strip()]
    return [Example(str(i), (row[0], row[1] if len(row) > 1 else None), None) for i, row in enumerate(rows)]


def write_labelled(example: Example, predicted: str) -> str:
    return "\t".join([*(t for t in example.inputs if t is not None), predicted]) + "\n"


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    index = {label: i for i, label in enumerate(spec.labels)}
    found = []
    for number, example in enumerate(examples):
        ids, types = tokens.text(*example.inputs)
        found.append(Feature((ids,), (types,), index.get(example.gold), number))
    return found


def targets(feature: Feature) -> int:
    return 1


def classes(feature: Feature) -> Iterable[Hashable]:
    return (feature.target,)


read_positions = first_token


def summed_loss(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    import torch

    labels = torch.tensor([f.target for f in batch.features], device=states_BD.device)
    return torch.nn.functional.cross_entropy(head(states_BD), labels, reduction="sum")


def decode(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[Any]:
    return head(states_BD).argmax(-1).tolist()  # type: ignore[no-any-return]


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    result: list[str] = [""] * len(examples)
    for feature, number in zip(features, decoded, strict=True):
        result[feature.example] = spec.labels[number]
    return result


def gold(example: Example) -> str:
    return example.gold  # type: ignore[no-any-return]


def metrics(primary: str, labels: Sequence[str], has_spaces: bool) -> list[Metric]:
    both = [accuracy(), macro_f1(labels)]
    return both if primary == "accuracy" else both[::-1]
