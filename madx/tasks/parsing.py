"""Dependency parsing (Universal Dependencies): the head of every word and its relation to it.

A biaffine layer scores each word against the root and every other word, another the relations between the two (Dozat
and Manning 2017, arXiv 1611.01734; in this short form Glavaš and Vulić 2021, arXiv 2008.06788, as AdapterHub's head).
A word is the mean of its subwords, the root the sequence's first token. W words of a sentence, D width, L relations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.corpora.tables import require
from madx.tasks.biaffine import load_head as load_head
from madx.tasks.biaffine import new_head
from madx.tasks.biaffine import save_head as save_head
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, check_label, hub_rows
from madx.tasks.metrics import Metric, share
from madx.tasks.sentence_rows import check_words
from madx.tasks.sentences import WORD, read_conllu
from madx.tasks.tagging import explain as explain
from madx.tasks.tagging import plain as plain
from madx.tasks.tagging import plain_columns as plain_columns
from madx.tasks.trees import best_tree

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("las", "uas")
COLUMNS = ("head", "relation")
OF_CLASSES = False  # a tree is chosen as a whole
OF_WORDS = True
OF_IMAGES = False
CALIBRATION = None
OUTSIDE = -1  # the head of a word whose head is in another part of a sentence that was too long


def check(spec: TaskSpec) -> None:
    if "root" not in spec.labels:
        raise ValueError("a parsing task needs its relations as labels, 'root' among them")


# ----------------------------------------------------------------------------------------------------- reading


def read(path: Path, spec: TaskSpec) -> Reading:
    """CoNLL-U. Inputs are the words; gold is (head, universal relation) of each, the root's head is 0.

    Ranges and empty nodes are passed over, and relations lose their subtypes, as in the CoNLL 2018 shared task.
    """
    sentences, skipped = read_conllu(path)
    examples = []
    for number, sentence in enumerate(sentences):
        size = len(sentence.lines)
        gold = [_arc(line.split("\t"), size, spec, f"{path}:{place}") for place, line in zip(*sentence, strict=True)]
        examples.append(Example(str(number), sentence.column(WORD), gold))
    check_words([example.inputs for example in examples], lambda i, j: f"{path}:{sentences[i].numbers[j]}")
    return Reading(examples, "CoNLL-U", skipped)


def _arc(fields: list[str], words: int, spec: TaskSpec, where: str) -> tuple[int, str]:
    if len(fields) < 8:
        raise InputError(f"{where}: {len(fields)} column(s); CoNLL-U has head and relation in the 7th and 8th")
    if not fields[6].isdecimal():
        raise InputError(f"{where}: head '{fields[6][:40]}' is no number")
    if len(fields[6]) > 9 or int(fields[6]) > words:
        raise InputError(f"{where}: head {fields[6][:40]}, but the sentence has {words} words")
    return int(fields[6]), _relation(fields[7], spec, where)


def _relation(label: str, spec: TaskSpec, where: str) -> str:
    return check_label(spec.own_label(label).partition(":")[0], spec.labels, where)


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    """The columns of the Hub's `universal_dependencies`: tokens, head, deprel."""
    examples = []
    for i, (where, row) in enumerate(hub_rows(hub, split)[1]):
        require(row, ("tokens", "head", "deprel"), where)
        columns = [row[name] for name in ("tokens", "head", "deprel")]
        if not all(isinstance(column, list) for column in columns) or len(set(map(len, columns))) != 1:
            raise InputError(f"{where}: 'tokens', 'head' and 'deprel' should be lists of one length")
        arcs = zip(row["head"], row["deprel"], strict=True)
        gold = [(int(head_), _relation(relation, spec, where)) for head_, relation in arcs]
        examples.append(Example(str(i), row["tokens"], gold))
    return Reading(examples, "Hub")


def contents(examples: Sequence[Example]) -> Contents:
    labels = Counter(relation for example in examples for _, relation in example.gold)
    return Contents({"sentences": len(examples), "words": sum(len(e.inputs) for e in examples)}, labels)


def fields(predicted: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(head_, relation) for head_, relation in predicted]


# --------------------------------------------------------------------------------------------------- computing


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """A sentence longer than the encoder reads is parsed in parts; a word keeps its loss where its head is near.

    `target`: (head in the part, relation's number) of each word; `extra`: (subwords of each word, first word's number).
    """
    index = {label: i for i, label in enumerate(spec.labels)}
    found: list[Feature] = []
    for number, example in enumerate(examples):
        for start, pieces in tokens.parts(example.inputs):
            end = start + len(pieces)
            target = [
                (_within(head_, start, end), index[relation]) for head_, relation in (example.gold or [])[start:end]
            ]
            found.append(Feature((tokens.joined(pieces),), None, target, number, (list(map(len, pieces)), start)))
    return found


def _within(head_: int, start: int, end: int) -> int:
    """A head's number in the part of words `start` to `end`."""
    if head_ == 0:
        return 0
    return head_ - start if start < head_ <= end else OUTSIDE


def targets(feature: Feature) -> int:
    return max(1, sum(1 for head_, _ in feature.target if head_ != OUTSIDE))


def classes(feature: Feature) -> Iterable[Hashable]:
    """Heads are positions, no classes."""
    return ()


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head(width, spec.labels)


def read_positions(batch: Batch) -> tuple[Tensor, Tensor]:
    """The first token, for the root, and every subword."""
    import torch

    sizes = [1 + sum(f.extra[0]) for f in batch.features]
    rows = [row for row, size in enumerate(sizes) for _ in range(size)]
    columns = [column for size in sizes for column in range(size)]
    return torch.tensor(rows, device=batch.ids_BT.device), torch.tensor(columns, device=batch.ids_BT.device)


def _scores(head_: nn.Module, states_MD: Tensor, batch: Batch) -> Iterator[tuple[Feature, Tensor, Tensor]]:
    """Arcs and relations of each feature's words, (W, 1 + W) and (W, 1 + W, L)."""
    import torch

    start = 0
    for feature in batch.features:
        lengths, _ = feature.extra
        part_MD = states_MD[start : start + 1 + sum(lengths)]
        start += 1 + sum(lengths)
        length_W = torch.tensor(lengths, device=states_MD.device)
        word_M = torch.repeat_interleave(torch.arange(len(lengths), device=states_MD.device), length_W)
        sums_WD = part_MD.new_zeros(len(lengths), part_MD.shape[1]).index_add(0, word_M, part_MD[1:])
        words_WD = sums_WD / length_W[:, None]
        yield feature, *head_(words_WD, torch.cat([part_MD[:1], words_WD]))


def summed_loss(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of heads and of the gold heads' relations, over words whose head is in the part."""
    import torch

    targets = []
    for feature in batch.features:
        gold_W, relation_W = torch.tensor(feature.target, device=states_MD.device).T
        targets += [gold_W[gold_W != OUTSIDE], relation_W[gold_W != OUTSIDE]]
    pairs = zip(decisions(head, states_MD, batch), targets, strict=True)
    return torch.stack([torch.nn.functional.cross_entropy(*pair, reduction="sum") for pair in pairs]).sum()


def decisions(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[Tensor]:
    """Of each feature: heads, and relations to the gold heads."""
    import torch

    found = []
    for feature, arcs_WH, rels_WHL in _scores(head, states_MD, batch):
        gold_W, _ = torch.tensor(feature.target, device=states_MD.device).T
        here_N = (gold_W != OUTSIDE).nonzero().squeeze(1)
        found += [arcs_WH[here_N], rels_WHL[here_N, gold_W[here_N]]]
    return found


def decode(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[list[tuple[int, str]]]:
    """The best tree of each feature, and its relations: `root` for the root's child and nobody else."""
    return [[arc for arc, _ in tree] for tree in _trees(head, states_MD, batch)]


def entropy(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Over the heads of a word."""
    import torch

    return torch.stack([mean_entropy(arcs_WH) for _, arcs_WH, _ in _scores(head, states_MD, batch)]).mean()


def confidence(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[list[float]]:
    """The probability of each word's head times that of its relation to it."""
    return [[probability for _, probability in tree] for tree in _trees(head, states_MD, batch)]


def _trees(head: nn.Module, states_MD: Tensor, batch: Batch) -> Iterator[list[tuple[tuple[int, str], float]]]:
    labels: tuple[str, ...] = head.labels  # type: ignore[assignment]
    root = labels.index("root")
    for _, arcs_WH, rels_WHL in _scores(head, states_MD, batch):
        arcs = arcs_WH.detach().log_softmax(-1).double().cpu().numpy()
        heads = best_tree(arcs)
        rels_WL = rels_WHL[range(len(heads)), heads].detach().float().cpu().numpy()
        rels_WL[:, root] = -np.inf
        chosen = rels_WL.argmax(-1)
        of_heads = np.exp(arcs[range(len(heads)), heads])
        of_rels = 1 / np.exp(rels_WL - rels_WL.max(-1, keepdims=True)).sum(-1)
        yield [
            ((h, "root" if h == 0 else labels[r]), float(p * (1 if h == 0 else q)))
            for h, r, p, q in zip(heads, chosen, of_heads, of_rels, strict=True)
        ]


def join(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec
) -> list[list[tuple[int, str]]]:
    """Parts of a sentence become one tree: the roots of later parts hang on the first part's, as parataxis."""
    trees: list[list[tuple[int, str]]] = [[] for _ in examples]
    later = "parataxis" if "parataxis" in spec.labels else next(label for label in spec.labels if label != "root")
    for feature, part in sorted(zip(features, decoded, strict=True), key=lambda pair: pair[0].extra[1]):
        tree, start = trees[feature.example], feature.extra[1]
        root = next((i for i, (head_, _) in enumerate(tree, 1) if head_ == 0), 0)
        for head_, relation in part:
            if head_ == 0 and start:
                tree.append((root, later))
            else:
                tree.append((head_ + start if head_ else 0, relation))
    return trees


# ----------------------------------------------------------------------------------------------------- scoring


def texts(example: Example) -> list[str]:
    return [" ".join(example.inputs)]


def gold(example: Example) -> list[tuple[int, str]]:
    return example.gold  # type: ignore[no-any-return]


def labels_of(gold: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]]) -> Iterable[tuple[str, str]]:
    """Relations, wherever the heads are."""
    return ((str(g[1]), str(p[1])) for g, p in zip(gold, predicted, strict=True))


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    """Of all words, punctuation among them, as the CoNLL 2018 shared task's scorer counts on gold words."""

    def uas(gold: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]]) -> list[float]:
        return [sum(g[0] == p[0] for g, p in zip(gold, predicted, strict=True)), len(gold)]

    def las(gold: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]]) -> list[float]:
        return [sum(tuple(g) == tuple(p) for g, p in zip(gold, predicted, strict=True)), len(gold)]

    both = [share("las", las), share("uas", uas)]
    return both if primary == "las" else both[::-1]
