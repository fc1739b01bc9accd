"""Extractive question answering (SQuAD's format): first and last token of the answer in the context."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.tasks.examples import Example, Feature, hub_rows, read_rows
from madx.tasks.flexible import load_head as load_head
from madx.tasks.flexible import new_head
from madx.tasks.flexible import save_head as save_head
from madx.tasks.metrics import Metric, exact_match, qa_f1

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

METRICS = ("qa-f1",)

LONGEST_ANSWER = 30  # tokens
STRIDE = 0.4  # share of the window that the next window repeats


def check(spec: TaskSpec) -> None:
    """It has no labels."""


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head("question_answering", 2, width, layers=1)


def _example(row: dict[str, Any], where: str) -> Example:
    answers = row["answers"]
    if isinstance(answers, dict):  # the Hub's columns
        answers = [
            {"text": t, "answer_start": s} for t, s in zip(answers["text"], answers["answer_start"], strict=True)
        ]
    for answer in answers:
        start, text = answer["answer_start"], answer["text"]
        if row["context"][start : start + len(text)] != text:
            raise InputError(f"{where}: the answer '{text[:40]}' is not at position {start} of the context")
    return Example(str(row.get("id", where)), (row["question"], row["context"]), answers)


def read(path: Path, spec: TaskSpec) -> list[Example]:
    """JSON lines with id, question, context and answers [{text, answer_start}]."""
    return [_example(row, where) for where, row in read_rows(path, ("question", "context", "answers"))]


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> list[Example]:
    _, rows = hub_rows(hub, split)
    return [_example(row, f"{hub.dataset} ({hub.config}, {split}), row {i}") for i, row in enumerate(rows)]


def read_plain(lines: Iterator[str]) -> list[Example]:
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Example(str(i), (row["question"], row["context"]), None) for i, row in enumerate(rows)]


def write_labelled(example: Example, predicted: str) -> str:
    question, context = example.inputs
    return json.dumps({"question": question, "context": context, "answer": predicted}, ensure_ascii=False) + "\n"


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """Overlapping windows over long contexts. `extra`: character span of each context token, else None."""
    found = []
    for number, example in enumerate(examples):
        question, context = example.inputs
        out = tokens.tokenizer(
            question, context, truncation="only_second", max_length=tokens.max_length, return_token_type_ids=True,
            stride=int(STRIDE * tokens.max_length), return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        for window, ids in enumerate(out["input_ids"]):
            inside = out.sequence_ids(window)
            offsets = [o if s == 1 else None for o, s in zip(out["offset_mapping"][window], inside, strict=True)]
            target = _target(example.gold, offsets) if example.gold else (0, 0)
            types = out["token_type_ids"][window] if "token_type_ids" in out else [0] * len(ids)
            found.append(Feature((tuple(ids),), (tuple(types),), target, number, offsets))
    return found


def _target(answers: list[dict[str, Any]], offsets: list[tuple[int, int] | None]) -> tuple[int, int]:
    """First and last token of the first answer, or the first token of the window twice where it isn't inside."""
    start = answers[0]["answer_start"]
    end = start + len(answers[0]["text"])
    covering = [i for i, o in enumerate(offsets) if o is not None and o[0] < end and o[1] > start]
    if not covering:
        return 0, 0
    first, last = offsets[covering[0]], offsets[covering[-1]]
    whole = first is not None and last is not None and first[0] <= start and last[1] >= end
    return (covering[0], covering[-1]) if whole else (0, 0)


def targets(feature: Feature) -> int:
    return 2


def classes(feature: Feature) -> Iterable[Hashable]:
    """Positions are no classes."""
    return ()


def read_positions(batch: Batch) -> None:
    """Every position may begin or end an answer."""


def summed_loss(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> Tensor:
    import torch

    logits = head(hidden_BTD)
    if batch.mask_BT is not None:
        logits = logits.masked_fill(~batch.mask_BT[..., None], -1e4)
    wanted = torch.tensor([f.target for f in batch.features], device=hidden_BTD.device)
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2).flatten(0, 1), wanted.flatten(), reduction="sum")


def decode(head: nn.Module, hidden_BTD: Tensor, batch: Batch) -> list[Any]:
    """(score, first character, last character) of each window's best span."""
    import torch

    logits = head(hidden_BTD).float()
    result = []
    for row, feature in enumerate(batch.features):
        offsets = feature.extra
        inside = torch.tensor([o is not None for o in offsets], device=logits.device)
        start, end = (logits[row, : len(offsets), k].masked_fill(~inside, -1e4) for k in (0, 1))
        scores = start[:, None] + end[None, :]
        allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
        best = int(scores.masked_fill(~allowed, -1e9).argmax())
        i, j = divmod(best, len(offsets))
        span = (offsets[i][0], offsets[j][1]) if offsets[i] and offsets[j] else (0, 0)
        result.append((float(scores[i, j]), *span))
    return result


def join(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec) -> list[Any]:
    best: list[tuple[float, str]] = [(float("-inf"), "")] * len(examples)
    for feature, (score, first, last) in zip(features, decoded, strict=True):
        if score > best[feature.example][0]:
            best[feature.example] = (score, examples[feature.example].inputs[1][first:last].strip())
    return [text for _, text in best]


def gold(example: Example) -> list[str]:
    """The texts of the answers."""
    return [answer["text"] for answer in example.gold]


def metrics(primary: str, labels: Sequence[str], has_spaces: bool) -> list[Metric]:
    return [qa_f1(has_spaces), exact_match()]
