"""Extractive question answering (SQuAD's format): first and last token of the answer in the context."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.corpora.characters import Places
from madx.corpora.lines import suffix_of
from madx.corpora.tables import Row, read_rows, require, text_of
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, hub_rows
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import new_head, null_threshold
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, answer_metrics
from madx.tasks.spans import CALIBRATION as CALIBRATION
from madx.tasks.spans import Decoded, answers_of
from madx.tasks.squad import COLUMNS_READ, Answer, answered, example_of, questions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("f1-squad", "em", "f1-mlqa", "qa-f1")
COLUMNS = ("answer",)
OF_CLASSES = False  # windows are compared by their logits
OF_WORDS = False
OF_IMAGES = False

LONGEST_ANSWER = 30  # tokens
STRIDE = 0.4  # share of the window that the next window repeats


def check(spec: TaskSpec) -> None:
    """It has no labels."""


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("question_answering", 2, width, layers=1)


def read(path: Path, spec: TaskSpec) -> Reading:
    """Rows of question, context and answers [{text, answer_start}] (JSON lines, JSON, parquet); or SQuAD's articles."""
    if suffix_of(path) in (".tsv", ".csv"):
        raise InputError(f"{path}: questions are read from JSON lines, JSON or parquet, since answers are lists")
    layout, examples = f"table {suffix_of(path)}", list[Example]()
    for where, row in read_rows(path, ()):
        layout = "SQuAD's articles" if "paragraphs" in row else layout
        examples += [example_of(question, place) for place, question in questions(row, where)]
    return Reading(answered(examples, path), layout)


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    return Reading(answered([example_of(row, where) for where, row in hub_rows(hub, split)[1]], hub.dataset), "Hub")


def contents(examples: Sequence[Example]) -> Contents:
    contexts = {example.inputs[1] for example in examples}
    without = sum(not example.gold for example in examples)
    sizes = {"questions": len(examples), "contexts": len(contexts)} | (
        {"without an answer": without} if without else {}
    )
    return Contents(sizes, Counter())


def plain_columns(spec: TaskSpec) -> tuple[str, ...]:
    return COLUMNS_READ[:2]


def plain(row: Row, spec: TaskSpec, where: str) -> tuple[str, str]:
    require(row, plain_columns(spec), where)
    return text_of(row, "question", where), text_of(row, "context", where)


def fields(predicted: str) -> list[tuple[str]]:
    return [(predicted,)]


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """Overlapping windows over long contexts. `extra`: character span of each context token, else None.

    A question has at most half of a window: what is longer loses its end. No context is ever cut off.
    """
    found = []
    for number, example in enumerate(examples):
        question, room = _question(tokens, example.inputs[0])
        context, places = tokens.as_read.with_places(example.inputs[1])
        out = tokens.tokenizer(
            question, context, truncation="only_second", max_length=tokens.max_length, return_token_type_ids=True,
            stride=min(int(STRIDE * tokens.max_length), room // 2), return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )  # fmt: skip
        for window, ids in enumerate(out["input_ids"]):
            inside = out.sequence_ids(window)
            spans = zip(out["offset_mapping"][window], inside, strict=True)
            offsets = [_stood(places, *o) if s == 1 else None for o, s in spans]
            target = _target(example.inputs[1], example.gold[0], offsets) if example.gold else (0, 0)
            types = out["token_type_ids"][window] if "token_type_ids" in out else [0] * len(ids)
            found.append(Feature((tuple(ids),), (tuple(types),), target, number, offsets))
    return found


def _question(tokens: Tokens, question: str) -> tuple[str, int]:
    """A question as it is read, and how many tokens of context fit beside it."""
    question = tokens.as_read(question)
    free = tokens.max_length - tokens.tokenizer.num_special_tokens_to_add(pair=True)
    spans = _spans(tokens, question)
    most = free // 2
    while len(spans) > free // 2:
        question = question[: spans[most][0]]
        spans = _spans(tokens, question)
        most = min(most, len(spans)) - 1  # a word that was cut may have more pieces than it had
    return question, free - len(spans)


def _spans(tokens: Tokens, text: str) -> list[tuple[int, int]]:
    """First and last + 1 character of each of a text's tokens."""
    out = tokens.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return out["offset_mapping"]  # type: ignore[no-any-return]


def _stood(places: Places, start: int, end: int) -> tuple[int, int]:
    """A token's span in the context as it was given."""
    if start >= end:
        at = places[start][0] if start < len(places) else (places[-1][1] if places else 0)
        return at, at
    return places[start][0], places[end - 1][1]


def _target(context: str, answer: Answer, offsets: Sequence[tuple[int, int] | None]) -> tuple[int, int]:
    """First and last token of an answer, or the first token of the window twice where it isn't inside.

    Blanks around the answer are none of its tokens; marks at its end may have no token of their own.
    """
    text, start = answer["text"], answer["answer_start"]
    end = start + len(text.rstrip())
    start += len(text) - len(text.lstrip())
    bare = end
    while bare > start + 1 and unicodedata.category(context[bare - 1]).startswith("M"):
        bare -= 1
    for last in dict.fromkeys((end, bare)):
        covering = [i for i, o in enumerate(offsets) if o is not None and o[0] < last and o[1] > start]
        spans = [offsets[i] for i in covering]
        if spans and spans[0] and spans[-1] and spans[0][0] <= start and spans[-1][1] >= last:
            return covering[0], covering[-1]
    return 0, 0


def targets(feature: Feature) -> int:
    return 2


def classes(feature: Feature) -> Iterable[Hashable]:
    """Positions are no classes."""
    return ()


def read_positions(batch: Batch) -> None:
    """Every position may begin or end an answer."""


def summed_loss(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> Tensor:
    import torch

    (logits_NT,) = decisions(head, hidden_BTD, batch)
    wanted = torch.tensor([f.target for f in batch.features], device=hidden_BTD.device)
    return torch.nn.functional.cross_entropy(logits_NT, wanted.flatten(), reduction="sum")


def decisions(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> list[Tensor]:
    """First and last token of each window's answer."""
    logits = head(hidden_BTD)
    if batch.mask_BT is not None:
        logits = logits.masked_fill(~batch.mask_BT[..., None], -1e4)
    return [logits.transpose(1, 2).flatten(0, 1)]


def decode(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> list[Any]:
    """Each window's best span, as `Decoded`."""
    result = []
    threshold = null_threshold(head)
    for feature, scores, null in _spans_of(head, hidden_BTD, batch):
        offsets = feature.extra
        i, j = divmod(int(scores.argmax()), len(offsets))
        span = (offsets[i][0], offsets[j][1]) if offsets[i] and offsets[j] else (0, 0)
        least = -math.inf if threshold is None else float(null) - threshold
        result.append(Decoded(float(scores[i, j]), span[0], span[1], least))
    return result


def entropy(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> Tensor:
    """Over a window's spans."""
    import torch

    return torch.stack([mean_entropy(scores.view(1, -1)) for _, scores, _ in _spans_of(head, hidden_BTD, batch)]).mean()


def confidence(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> list[float]:
    """The logarithm of the sum of all of a window's spans."""
    return [float(scores.flatten().logsumexp(0)) for _, scores, _ in _spans_of(head, hidden_BTD, batch)]


def _spans_of(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> Iterator[tuple[Feature, Tensor, Tensor]]:
    """Scores of each window's spans, (first token, last token), and of no answer: the first position's."""
    import torch

    logits = head(hidden_BTD).float()
    for row, feature in enumerate(batch.features):
        offsets = feature.extra
        inside = torch.tensor([o is not None for o in offsets], device=logits.device)
        start, end = (logits[row, : len(offsets), k].masked_fill(~inside, -1e4) for k in (0, 1))
        scores = start[:, None] + end[None, :]
        allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
        yield feature, scores.masked_fill(~allowed, -1e9), logits[row, 0].sum()


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    return [example.inputs[1][found.first : found.last] for example, found in answers_of(examples, features, decoded)]


def explain(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], confidence: Sequence[Any],
    spec: TaskSpec,
) -> list[dict[str, Any]]:  # fmt: skip
    """`start` and `end`: characters of the context; `probability`: of the answer among all spans of all windows.

    Where a question may have no answer, that is one more of what may be chosen, as the threshold weighs it.
    """
    sums: list[list[float]] = [[] for _ in examples]
    for feature, those in zip(features, confidence, strict=True):
        sums[feature.example].append(those)
    return [
        {
            "start": found.first,
            "end": found.last,
            "probability": 1 / sum(math.exp(min(one - found.score, 700)) for one in (*sums[i], found.least)),
        }
        for i, (_, found) in enumerate(answers_of(examples, features, decoded))
    ]


def texts(example: Example) -> list[str]:
    """The question: contexts are published text, and stand elsewhere by right."""
    return [example.inputs[0]]


def gold(example: Example) -> list[str]:
    """The texts of the answers."""
    return [answer["text"] for answer in example.gold]


def labels_of(gold: Sequence[str], predicted: str) -> Iterable[tuple[str, str]]:
    return []


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    """SQuAD 1.1's, or SQuAD 2.0's where any of the questions has no answer."""
    known = answer_metrics(language, has_spaces, may_be_none=not all(gold))
    return sorted(known, key=lambda metric: metric.name != primary)
