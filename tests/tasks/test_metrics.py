"""The metrics are those of the field's own libraries."""

import random

import numpy as np
import pytest
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from madx.tasks import classification, question_answering, tagging
from madx.tasks.metrics import answer_f1

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def value(metric: object, gold: list, predicted: list) -> float:
    counts = np.array([metric.counts(g, p) for g, p in zip(gold, predicted, strict=True)], dtype=float)
    return float(metric.value(counts.sum(0)))


@pytest.mark.filterwarnings("ignore")
def test_span_f1_is_seqeval_s_strict_and_default() -> None:
    rng = random.Random(1)
    gold = [[rng.choice(TAGS) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    predicted = [[tag if rng.random() < 0.7 else rng.choice(TAGS) for tag in row] for row in gold]
    strict = tagging.metrics("span-f1", TAGS, True)[0]
    assert value(strict, gold, predicted) == pytest.approx(100 * f1_score(gold, predicted, mode="strict", scheme=IOB2))
    tags = ("NOUN", "VERB", "SCONJ", "CCONJ", "INTJ", "PUNCT")
    gold = [[rng.choice(tags) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    predicted = [[tag if rng.random() < 0.7 else rng.choice(tags) for tag in row] for row in gold]
    accuracy, chunks = tagging.metrics("accuracy", tags, True)
    assert value(chunks, gold, predicted) == pytest.approx(100 * f1_score(gold, predicted))
    flat = [g == p for row, other in zip(gold, predicted, strict=True) for g, p in zip(row, other, strict=True)]
    assert value(accuracy, gold, predicted) == pytest.approx(100 * sum(flat) / len(flat))


def test_macro_f1_by_hand() -> None:
    macro = classification.metrics("macro-f1", ("a", "b", "c"), True)[0]
    # a: p 1/2 r 1/1 -> 2/3; b: p 1/1 r 1/2 -> 2/3; c occurs nowhere
    assert value(macro, ["a", "b", "b"], ["a", "a", "b"]) == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("gold", "predicted", "spaces", "f1"),
    [
        ("the cat", "a cat!", True, 1.0),
        ("black cat", "cat", True, 2 / 3),
        ("dog", "cat", True, 0.0),
        ("", "", True, 1.0),
        ("北京市", "北京", False, 0.8),
        ("北京市", "北京", True, 0.0),
        ("«Tórshavn»", "tórshavn", True, 1.0),
    ],
)
def test_answers(gold: str, predicted: str, spaces: bool, f1: float) -> None:
    assert answer_f1(gold, predicted, spaces) == pytest.approx(f1)


def test_the_best_of_several_answers_counts() -> None:
    f1, exact = question_answering.metrics("qa-f1", (), True)
    assert value(f1, [["dog", "black cat"]], ["cat"]) == pytest.approx(200 / 3)
    assert value(exact, [["dog", "black cat"]], ["Black cat"]) == 100.0
