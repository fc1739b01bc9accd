"""Classification of one text or a pair (topic, sentiment, natural language inference)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import Columns, HubData, TaskSpec
from madx.corpora.lines import suffix_of
from madx.corpora.tables import Row, read_rows, require, text_of
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, hub_rows, labelled, named
from madx.tasks.flexible import first_token, new_head
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, accuracy, macro_f1

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("accuracy", "macro-f1")
COLUMNS = ("label",)
OF_CLASSES = True
OF_WORDS = False
OF_IMAGES = False
CALIBRATION = None


def check(spec: TaskSpec) -> None:
    if len(spec.labels) < 2:
        raise ValueError("a classification task needs at least two labels")


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("classification", len(spec.labels), width, layers=2, labels=spec.labels)


def read(path: Path, spec: TaskSpec) -> Reading:
    """A table of one text or two, and a label: TSV or CSV with a header, JSON lines, JSON, parquet."""
    names = spec.columns
    wanted = [c for c in (names.text, names.pair, names.label) if c]
    examples = [_example(i, row, names, spec, where) for i, (where, row) in enumerate(read_rows(path, wanted))]
    return Reading(examples, f"table {suffix_of(path)}")


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    features, rows = hub_rows(hub, split)
    names, examples = hub.columns or spec.columns, []
    for i, (where, row) in enumerate(rows):
        require(row, [c for c in (names.text, names.pair, names.label) if c], where)
        row = {**row, names.label: named(features, names.label, row[names.label])}
        examples.append(_example(i, row, names, spec, where))
    return Reading(examples, "Hub")


def _example(i: int, row: Row, names: Columns, spec: TaskSpec, where: str) -> Example:
    texts = (text_of(row, names.text, where), text_of(row, names.pair, where) if names.pair else None)
    return Example(str(i), texts, labelled(row, names.label, spec.labels, where, spec.own_label))


def contents(examples: Sequence[Example]) -> Contents:
    return Contents({"examples": len(examples)}, Counter(example.gold for example in examples))


def plain_columns(spec: TaskSpec) -> tuple[str, ...]:
    return (spec.columns.text, spec.columns.pair) if spec.columns.pair else (spec.columns.text,)


def plain(row: Row, spec: TaskSpec, where: str) -> tuple[str, str | None]:
    names = spec.columns
    require(row, plain_columns(spec), where)
    return text_of(row, names.text, where), text_of(row, names.pair, where) if names.pair else None


def fields(predicted: str) -> list[tuple[str]]:
    return [(predicted,)]


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


def entropy(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    return mean_entropy(head(states_BD))


def decisions(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[Tensor]:
    return [head(states_BD)]


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    result: list[str] = [""] * len(examples)
    for feature, number in zip(features, decoded, strict=True):
        result[feature.example] = spec.labels[number]
    return result


def texts(example: Example) -> list[str]:
    return [text for text in example.inputs if text is not None]


def confidence(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[list[float]]:
    """The probability of each label."""
    return head(states_BD).float().softmax(-1).tolist()  # type: ignore[no-any-return]


def explain(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], confidence: Sequence[Any],
    spec: TaskSpec,
) -> list[dict[str, Any]]:  # fmt: skip
    """`probabilities`: of every label."""
    found: list[dict[str, Any]] = [{} for _ in examples]
    for feature, those in zip(features, confidence, strict=True):
        found[feature.example] = {
            "probability": max(those), "probabilities": dict(zip(spec.labels, those, strict=True))
        }  # fmt: skip
    return found


def gold(example: Example) -> str:
    return example.gold  # type: ignore[no-any-return]


def labels_of(gold: str, predicted: str) -> Iterable[tuple[str, str]]:
    return [(str(gold), str(predicted))]


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    both = [accuracy(), macro_f1(labels)]
    return both if primary == "accuracy" else both[::-1]
