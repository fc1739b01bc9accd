"""Multiple choice (COPA, XCOPA): which of two alternatives is the cause or the effect of the premise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.corpora.lines import suffix_of
from madx.corpora.tables import Row, read_rows, require, text_of
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, hub_rows, labelled
from madx.tasks.flexible import first_token, new_head
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("accuracy",)

# XCOPA's questions are asked in English, whatever the language (Ponti et al. 2020)
QUESTIONS = {"cause": "What was the cause?", "effect": "What happened as a result?"}
COLUMNS_READ = ("premise", "choice1", "choice2", "question", "label")
COLUMNS = ("label",)
OF_CLASSES = True
OF_WORDS = False
OF_IMAGES = False
CALIBRATION = None


def check(spec: TaskSpec) -> None:
    """The labels are the choices' numbers."""


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("multiple_choice", 2, width, layers=2)


def _inputs(row: Row, where: str) -> tuple[str, str, tuple[str, str]]:
    premise, first, second, question = (text_of(row, c, where) for c in COLUMNS_READ[:4])
    if question not in QUESTIONS:
        raise InputError(f"{where}: question '{question[:40]}' is neither 'cause' nor 'effect'")
    return premise, question, (first, second)


def _example(i: int, row: Row, where: str) -> Example:
    return Example(str(i), _inputs(row, where), int(labelled(row, "label", ("0", "1"), where)))


def read(path: Path, spec: TaskSpec) -> Reading:
    """A table (JSON lines, JSON, TSV, CSV, parquet) with the columns of COPA; label 0 is the first choice."""
    examples = [_example(i, row, where) for i, (where, row) in enumerate(read_rows(path, COLUMNS_READ))]
    return Reading(examples, f"table {suffix_of(path)}")


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    examples = []
    for i, (where, row) in enumerate(hub_rows(hub, split)[1]):
        require(row, COLUMNS_READ, where)
        examples.append(_example(i, row, where))
    return Reading(examples, "Hub")


def contents(examples: Sequence[Example]) -> Contents:
    return Contents({"examples": len(examples)}, Counter(str(example.gold) for example in examples))


def plain_columns(spec: TaskSpec) -> tuple[str, ...]:
    return COLUMNS_READ[:4]


def plain(row: Row, spec: TaskSpec, where: str) -> tuple[str, str, tuple[str, str]]:
    require(row, plain_columns(spec), where)
    return _inputs(row, where)


def fields(predicted: int) -> list[tuple[int]]:
    return [(predicted,)]


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    found = []
    for number, example in enumerate(examples):
        premise, question, choices = example.inputs
        both = [tokens.text(f"{premise} {QUESTIONS[question]}", choice) for choice in choices]
        ids, types = zip(*both, strict=True)
        found.append(Feature(ids, types, example.gold, number))
    return found


def targets(feature: Feature) -> int:
    return 1


def classes(feature: Feature) -> Iterable[Hashable]:
    return (feature.target,)


read_positions = first_token


def _logits(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    out: Tensor = head(states_BD)
    return out.view(len(batch.features), -1)


def summed_loss(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    import torch

    labels = torch.tensor([f.target for f in batch.features], device=states_BD.device)
    return torch.nn.functional.cross_entropy(_logits(head, states_BD, batch), labels, reduction="sum")


def decode(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[Any]:
    return _logits(head, states_BD, batch).argmax(-1).tolist()  # type: ignore[no-any-return]


def entropy(head: nn.Module, states_BD: Tensor, batch: Batch) -> Tensor:
    return mean_entropy(_logits(head, states_BD, batch))


def decisions(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[Tensor]:
    return [_logits(head, states_BD, batch)]


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    result = [0] * len(examples)
    for feature, number in zip(features, decoded, strict=True):
        result[feature.example] = number
    return result


def texts(example: Example) -> list[str]:
    premise, _, choices = example.inputs
    return [premise, *choices]


def confidence(head: nn.Module, states_BD: Tensor, batch: Batch) -> list[list[float]]:
    """The probability of each choice."""
    return _logits(head, states_BD, batch).float().softmax(-1).tolist()  # type: ignore[no-any-return]


def explain(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], confidence: Sequence[Any],
    spec: TaskSpec,
) -> list[dict[str, Any]]:  # fmt: skip
    """`probabilities`: of every choice."""
    found: list[dict[str, Any]] = [{} for _ in examples]
    for feature, those in zip(features, confidence, strict=True):
        found[feature.example] = {"probability": max(those), "probabilities": those}
    return found


def gold(example: Example) -> int:
    return example.gold  # type: ignore[no-any-return]


def labels_of(gold: int, predicted: int) -> Iterable[tuple[str, str]]:
    return [(str(gold), str(predicted))]


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    return [accuracy()]
