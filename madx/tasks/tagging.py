"""Tagging: a label per word (POS; named entities in IOB2). The first subword of a word stands for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.corpora.documents import read_lines
from madx.tasks.examples import Example, Feature, check_label, hub_rows, label_name
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import new_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, chunk_f1, span_f1, word_accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("accuracy", "span-f1")


def check(spec: TaskSpec) -> None:
    if len(spec.labels) < 2:
        raise ValueError("a tagging task needs at least two labels")
    if spec.metric == "span-f1" and "O" not in spec.labels:
        raise ValueError("span-f1 needs IOB2 labels with 'O'")


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("tagging", len(spec.labels), width, layers=1, labels=spec.labels)


def _clean(label: str, spec: TaskSpec, where: str) -> str:
    if label.partition("-")[2] in spec.outside or label in spec.outside:
        label = "O"
    return check_label(label, spec.labels, where)


def read(path: Path, spec: TaskSpec) -> list[Example]:
    """`token<TAB>label`, a blank line after each sentence; or CoNLL-U (UPOS). Raises InputError with file:line."""
    conllu = ".conllu" in path.name
    column = 3 if conllu else spec.label_column
    sentences: list[Example] = []
    words: list[str] = []
    labels: list[str] = []
    number = 0
    for number, line in read_lines(path):
        if conllu and line.startswith("#"):
            continue
        fields = line.split("\t")
        if not line.strip() and len(fields) < 2:
            if words:
                sentences.append(Example(str(len(sentences)), words, labels))
                words, labels = [], []
            continue
        if conllu and ("-" in fields[0] or "." in fields[0]):
            continue
        if len(fields) <= column:
            raise InputError(f"{path}:{number}: {len(fields)} column(s), the label should be in column {column + 1}")
        words.append(fields[1 if conllu else 0])
        labels.append(_clean(fields[column].strip(), spec, f"{path}:{number}"))
    if words:
        sentences.append(Example(str(len(sentences)), words, labels))
    return sentences


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> list[Example]:
    features, rows = hub_rows(hub, split)
    column = next((c for c in ("upos", "ner_tags", "pos_tags", "tags", "labels") if c in features), None)
    if "tokens" not in features or column is None:
        raise InputError(f"Hub data set {hub.dataset}: no 'tokens' and no label column; it has {', '.join(features)}")
    where = f"{hub.dataset} ({hub.config}, {split})"
    return [
        Example(str(i), row["tokens"], [_clean(label_name(features, column, v), spec, where) for v in row[column]])
        for i, row in enumerate(rows)
    ]


def read_plain(lines: Iterator[str]) -> list[Example]:
    """Unlabelled text: one sentence a line, words at blanks; or one word a line with blank lines between."""
    everything = [line.rstrip("\n") for line in lines]
    if any(" " in line.strip() for line in everything):
        return [Example(str(i), line.split(), None) for i, line in enumerate(everything) if line.strip()]
    sentences: list[list[str]] = [[]]
    for line in everything:
        if line.strip():
            sentences[-1].append(line.split("\t")[0])
        elif sentences[-1]:
            sentences.append([])
    return [Example(str(i), words, None) for i, words in enumerate(s for s in sentences if s)]


def write_labelled(example: Example, predicted: Sequence[str]) -> str:
    return "".join(f"{word}\t{label}\n" for word, label in zip(example.inputs, predicted, strict=True)) + "\n"


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """A sentence longer than the encoder reads is split between words, never cut: every word is scored.

    `target`: label numbers; `extra`: (position of each word's first subword, number of the first word).
    """
    index = {label: i for i, label in enumerate(spec.labels)}
    room = tokens.max_length - 2
    found: list[Feature] = []
    for number, example in enumerate(examples):
        pieces = [ids[:room] for ids in tokens.words(example.inputs)]
        start = 0
        while start < len(pieces):
            ids: list[int] = []
            positions: list[int] = []
            end = start
            while end < len(pieces) and len(ids) + len(pieces[end]) <= room:
                positions.append(len(ids) + 1)
                ids.extend(pieces[end])
                end += 1
            target = [index[label] for label in example.gold[start:end]] if example.gold is not None else []
            found.append(Feature((tokens.single(ids),), None, target, number, (positions, start)))
            start = end
    return found


def targets(feature: Feature) -> int:
    return len(feature.target)


def classes(feature: Feature) -> Iterable[Hashable]:
    return feature.target  # type: ignore[no-any-return]


def read_positions(batch: Batch) -> tuple[Tensor, Tensor]:
    """The first subword of each word."""
    import torch

    rows = [b for b, f in enumerate(batch.features) for _ in f.extra[0]]
    columns = [p for f in batch.features for p in f.extra[0]]
    return torch.tensor(rows, device=batch.ids_BT.device), torch.tensor(columns, device=batch.ids_BT.device)


def summed_loss(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over words."""
    import torch

    labels = torch.tensor([t for f in batch.features for t in f.target], device=states_MD.device)
    return torch.nn.functional.cross_entropy(head(states_MD), labels, reduction="sum")


def decode(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[Any]:
    """Label numbers of each feature's words."""
    flat = head(states_MD).argmax(-1).tolist()
    result, start = [], 0
    for feature in batch.features:
        result.append(flat[start : start + len(feature.extra[0])])
        start += len(feature.extra[0])
    return result


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    """Decoded features to one prediction per example: the labels of all its words."""
    labels: list[list[str]] = [[] for _ in examples]
    for feature, numbers in sorted(zip(features, decoded, strict=True), key=lambda pair: pair[0].extra[1]):
        labels[feature.example] += [spec.labels[n] for n in numbers]
    return labels


def gold(example: Example) -> list[str]:
    return example.gold  # type: ignore[no-any-return]


def metrics(primary: str, labels: Sequence[str], has_spaces: bool) -> list[Metric]:
    return [span_f1()] if primary == "span-f1" else [word_accuracy(), chunk_f1()]
