"""Classification of one text or a pair (topic, sentiment, natural language inference)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from madx.catalog.task import HubData, TaskSpec
from madx.tasks.examples import (
    Batch,
    Example,
    Feature,
    Tokens,
    check_label,
    first_token,
    hub_rows,
    label_name,
    read_rows,
)
from madx.tasks.heads import HeadSpec


def head_spec(spec: TaskSpec) -> HeadSpec:
    return HeadSpec(head_type="classification", num_labels=len(spec.labels), layers=2, labels=spec.labels)


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


read_positions = first_token


def summed_loss(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    labels = torch.tensor([f.target for f in batch.features], device=states_BD.device)
    return nn.functional.cross_entropy(head(states_BD), labels, reduction="sum")


def decode(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[Any]:
    return head(states_BD).argmax(-1).tolist()  # type: ignore[no-any-return]


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    result: list[str] = [""] * len(examples)
    for feature, number in zip(features, decoded, strict=True):
        result[feature.example] = spec.labels[number]
    return result
