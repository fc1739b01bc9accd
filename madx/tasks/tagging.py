"""Tagging: a label per word (POS; named entities in IOB2). The first subword of a word stands for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import SCHEME_LETTERS, HubData, TaskSpec
from madx.config import InputError
from madx.corpora.tables import Row, some
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, check_label, hub_rows, named, of_all_words
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import new_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, span_f1, word_accuracy
from madx.tasks.schemes import are_entities, scheme_of, to_iob2
from madx.tasks.sentence_rows import Sentences, label_columns, of_lists, words_of
from madx.tasks.sentences import read_sentences

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("accuracy", "span-f1")
COLUMNS = ("label",)
OF_CLASSES = True
OF_WORDS = True
OF_IMAGES = False
CALIBRATION = None


def check(spec: TaskSpec) -> None:
    if len(spec.labels) < 2:
        raise ValueError("a tagging task needs at least two labels")
    if spec.metric == "span-f1" and "O" not in spec.labels:
        raise ValueError("span-f1 needs IOB2 labels with 'O'")


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("tagging", len(spec.labels), width, layers=1, labels=spec.labels)


def read(path: Path, spec: TaskSpec) -> Reading:
    """A word and its label a line, blank lines between sentences; CoNLL-U (UPOS); tables; rows of tokens and labels.

    Entities in any scheme become IOB2. Raises InputError with file:line.
    """
    return _reading(read_sentences(path, spec, partial(_fits, spec)), spec, str(path))


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    features, rows = hub_rows(hub, split)
    source = f"Hub dataset {hub.dataset} ({hub.config}, {split})"
    words, labels = label_columns(list(features), hub.columns or spec.columns, source)
    found = [(row[words], [named(features, labels, value) for value in row[labels] or ()]) for _, row in rows]
    return _reading(of_lists(found, words, labels, [f"{source}, row {i + 1}" for i in range(len(found))]), spec, source)


def _fits(spec: TaskSpec, label: str) -> bool:
    """Whether a label is the task's, or is read as one, or one of an entity that is its own in another scheme."""
    label = spec.own_label(label)
    if label in spec.labels or label in spec.outside:
        return True
    letter, _, kind = label.partition("-")
    return letter in SCHEME_LETTERS and (kind in spec.outside or f"B-{kind}" in spec.labels)


def _reading(found: Sentences, spec: TaskSpec, source: str) -> Reading:
    """Sentences with the task's labels: entities in IOB2, types outside the task as O."""
    known = {label: _fits(spec, label) for label in {label for tags in found.labels for label in tags}}
    for i, tags in enumerate(found.labels if not all(known.values()) else ()):
        for j, label in enumerate(tags):
            if not known[label]:
                # a slip is somewhere; what is wrong with the first word is wrong with the file
                others = sorted(other for other, fits in known.items() if not fits and other != label)
                more = f"Nor are {some(others)}. " if others else ""
                hint = more + (found.hint if i == j == 0 else "")
                check_label(label, spec.labels, found.where(i, j), hint.rstrip())
    labels, layout = found.labels, found.layout
    if spec.read_as:
        labels = [[spec.own_label(label) for label in tags] for tags in labels]
    if are_entities(spec.labels):
        labels, scheme = _in_iob2(_with_o(labels, lambda label: label in spec.outside), source)
        layout = f"{layout}, {scheme}"
    if spec.outside:
        labels = _with_o(labels, lambda label: label in spec.outside or label.partition("-")[2] in spec.outside)
    for label in {label for tags in labels for label in tags} - set(spec.labels):
        check_label(label, spec.labels, source)  # the task has B-X alone, and the file an X of two words
    examples = [Example(str(i), words, tags) for i, (words, tags) in enumerate(zip(found.words, labels, strict=True))]
    return Reading(examples, layout, found.skipped)


def _with_o(labels: Iterable[Sequence[str]], is_outside: Callable[[str], bool]) -> list[list[str]]:
    return [["O" if is_outside(label) else label for label in tags] for tags in labels]


def _in_iob2(labels: list[list[str]], source: str) -> tuple[list[list[str]], str]:
    """The same entities in IOB2, and what was done."""
    try:
        scheme = scheme_of(labels)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    if scheme == "IOB2":
        return labels, scheme
    read = to_iob2(labels, scheme)
    entities, kept = (sum(tag != "O" for tags in some for tag in tags) for some in (labels, read))
    lost = f" ({entities - kept} labels that belong to no entity read as O)" if kept < entities else ""
    return read, f"{scheme} read as IOB2{lost}"


def contents(examples: Sequence[Example]) -> Contents:
    labels = Counter(label for example in examples for label in example.gold)
    return Contents({"sentences": len(examples), "words": sum(len(e.inputs) for e in examples)}, labels)


def plain_columns(spec: TaskSpec) -> tuple[str, ...]:
    return ("tokens",)


def plain(row: Row, spec: TaskSpec, where: str) -> list[str]:
    return words_of(row, where)


def fields(predicted: Sequence[str]) -> list[tuple[str]]:
    return [(label,) for label in predicted]


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """A sentence longer than the encoder reads is split between words, never cut: every word is scored.

    `target`: label numbers; `extra`: (position of each word's first subword, number of the first word).
    """
    index = {label: i for i, label in enumerate(spec.labels)}
    found: list[Feature] = []
    for number, example in enumerate(examples):
        for start, pieces in tokens.parts(example.inputs):
            positions = list(accumulate(map(len, pieces[:-1]), initial=1))
            target = [index[label] for label in (example.gold or [])[start : start + len(pieces)]]
            found.append(Feature((tokens.joined(pieces),), None, target, number, (positions, start)))
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


def entropy(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    return mean_entropy(head(states_MD))


def decisions(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[Tensor]:
    return [head(states_MD)]


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    """Decoded features to one prediction per example: the labels of all its words."""
    labels: list[list[str]] = [[] for _ in examples]
    for feature, numbers in sorted(zip(features, decoded, strict=True), key=lambda pair: pair[0].extra[1]):
        labels[feature.example] += [spec.labels[n] for n in numbers]
    return labels


def texts(example: Example) -> list[str]:
    return [" ".join(example.inputs)]


def confidence(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[list[float]]:
    """The probability of each word's label."""
    highest = iter(head(states_MD).float().softmax(-1).amax(-1).tolist())
    return [list(islice(highest, len(feature.extra[0]))) for feature in batch.features]


def explain(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], confidence: Sequence[Any],
    spec: TaskSpec,
) -> list[dict[str, Any]]:  # fmt: skip
    return [{"probabilities": those} for those in of_all_words(examples, features, confidence)]


def gold(example: Example) -> list[str]:
    return example.gold  # type: ignore[no-any-return]


def labels_of(gold: Sequence[str], predicted: Sequence[str]) -> Iterable[tuple[str, str]]:
    return ((str(g), str(p)) for g, p in zip(gold, predicted, strict=True))


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    return [span_f1()] if primary == "span-f1" else [word_accuracy()]
