"""The metrics are those of the field's own libraries."""

import random
import re
import string
import sys
import unicodedata
from collections import Counter

import numpy as np
import pytest
from seqeval import scheme
from seqeval.metrics import f1_score
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as sklearn_f1

from madx.tasks import classification, question_answering, tagging
from madx.tasks.schemes import to_iob2

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def value(metric: object, gold: list, predicted: list) -> float:
    counts = np.array([metric.counts(g, p) for g, p in zip(gold, predicted, strict=True)], dtype=float)
    return float(metric.value(counts.sum(0)))


@pytest.mark.filterwarnings("ignore")
def test_span_f1_is_seqeval_s_strict_and_default() -> None:
    rng = random.Random(1)
    gold = [[rng.choice(TAGS) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    predicted = [[tag if rng.random() < 0.7 else rng.choice(TAGS) for tag in row] for row in gold]
    strict = tagging.metrics("span-f1", TAGS, "eng", True)[0]
    assert value(strict, gold, predicted) == pytest.approx(
        100 * f1_score(gold, predicted, mode="strict", scheme=scheme.IOB2)
    )
    tags = ("NOUN", "VERB", "SCONJ", "CCONJ", "INTJ", "PUNCT")
    gold = [[rng.choice(tags) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    predicted = [[tag if rng.random() < 0.7 else rng.choice(tags) for tag in row] for row in gold]
    (accuracy,) = tagging.metrics("accuracy", tags, "eng", True)
    flat = [g == p for row, other in zip(gold, predicted, strict=True) for g, p in zip(row, other, strict=True)]
    assert value(accuracy, gold, predicted) == pytest.approx(100 * sum(flat) / len(flat))


def test_macro_f1_by_hand() -> None:
    macro = classification.metrics("macro-f1", ("a", "b", "c"), "eng", True)[0]
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
def test_our_own_f1(gold: str, predicted: str, spaces: bool, f1: float) -> None:
    own = question_answering.metrics("qa-f1", (), "eng", spaces)[0]
    assert (own.name, value(own, [[gold]], [predicted])) == ("qa-f1", pytest.approx(100 * f1))


def test_the_best_of_several_answers_counts() -> None:
    f1, exact, *_ = question_answering.metrics("f1-squad", (), "eng", True)
    assert (f1.name, exact.name) == ("f1-squad", "em")
    assert value(f1, [["dog", "black cat"]], ["cat"]) == pytest.approx(200 / 3)
    assert value(exact, [["dog", "black cat"]], ["Black cat"]) == 100.0


# ------------------------------------------------------- the official definitions, written down once more, literally

PIECES = [
    "the",
    "An",
    "a",
    "cat",
    "Cat!",
    "el",
    "der",
    "của",
    "ال",
    "الكتاب",
    "北京",
    "東",
    "U.S.",
    "«x»",
    "—",
    "",
    " ",
    "।",
    "2,5",
]
OFFICIAL = {"eng": "en", "spa": "es", "hin": "hi", "vie": "vi", "deu": "de", "arb": "ar", "zho": "zh"}


def squad_normal(text: str) -> str:
    text = text.lower()
    without = ""
    for character in text:
        if character not in set(string.punctuation):
            without += character
    return " ".join(re.compile(r"\b(a|an|the)\b", re.UNICODE).sub(" ", without).split())


def token_f1(prediction: list[str], truth: list[str]) -> float:
    common = Counter(prediction) & Counter(truth)
    same = sum(common.values())
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(prediction), 1.0 * same / len(truth)
    return (2 * precision * recall) / (precision + recall)


PUNCT = {chr(i) for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")} | set(
    string.punctuation
)


def mlqa_normal(text: str, lang: str) -> str:
    text = "".join(c for c in text.lower() if c not in PUNCT)
    if lang == "en":
        text = re.sub(r"\b(a|an|the)\b", " ", text)
    elif lang == "es":
        text = re.sub(r"\b(un|una|unos|unas|el|la|los|las)\b", " ", text)
    elif lang == "vi":
        text = re.sub(r"\b(của|là|cái|chiếc|những)\b", " ", text)
    elif lang == "de":
        text = re.sub(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b", " ", text)
    elif lang == "ar":
        text = re.sub(r"\sال^|ال", " ", text)
    if lang != "zh":
        return " ".join(text.split())
    tokens, run = [], ""
    for character in text:
        if re.search(r"[\u4e00-\u9fa5]", character) or character in PUNCT:
            if run != "":
                tokens.extend(run.split())
                run = ""
            tokens.append(character)
        else:
            run += character
    if run != "":
        tokens.extend(run.split())
    return " ".join(token for token in tokens if token.strip() != "")


def answers(rng: random.Random) -> tuple[list[str], str]:
    made = [rng.choice((" ", "", "  ")).join(rng.choices(PIECES, k=rng.randint(0, 4))) for _ in range(3)]
    return made[:2], rng.choice((made[0], made[2], made[2]))


def test_squads_scores_are_its_scripts_on_a_thousand_files() -> None:
    rng = random.Random(7)
    f1, exact, *_ = question_answering.metrics("f1-squad", (), "tha", False)  # whatever the language
    for _ in range(1000):
        gold, predicted = zip(*(answers(rng) for _ in range(3)), strict=True)
        want_f1 = [max(token_f1(squad_normal(p).split(), squad_normal(g).split()) for g in gs)
                   for gs, p in zip(gold, predicted, strict=True)]  # fmt: skip
        want_em = [any(squad_normal(p) == squad_normal(g) for g in gs) for gs, p in zip(gold, predicted, strict=True)]
        assert value(f1, list(gold), list(predicted)) == pytest.approx(100 * sum(want_f1) / 3)
        assert value(exact, list(gold), list(predicted)) == pytest.approx(100 * sum(want_em) / 3)


@pytest.mark.parametrize("language", sorted(OFFICIAL))
def test_mlqas_f1_is_its_scripts_on_a_thousand_answers(language: str) -> None:
    rng = random.Random(language)
    f1 = question_answering.metrics("f1-mlqa", (), language, language != "zho")[0]
    for _ in range(1000):
        gold, predicted = answers(rng)
        lang = OFFICIAL[language]
        want = max(token_f1(mlqa_normal(predicted, lang).split(), mlqa_normal(g, lang).split()) for g in gold)
        assert value(f1, [gold], [predicted]) == pytest.approx(100 * want), (gold, predicted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "theirs", "letters"), [
    ("IOB1", scheme.IOB1, "IB"), ("BIOES", scheme.IOBES, "BIES"), ("BILOU", scheme.BILOU, "BILU"),
])  # fmt: skip
def test_spans_count_in_every_scheme_as_seqeval_counts_them(name: str, theirs: type, letters: str) -> None:
    """1,000 files of random tags, well-formed or not: read as IOB2, they have the score that they had."""
    rng = random.Random(name)
    tags = ["O", "O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC"))]
    metric = tagging.metrics("span-f1", (), "eng", True)[0]
    for _ in range(1000):
        gold = [[rng.choice(tags) for _ in range(rng.randint(1, 8))] for _ in range(3)]
        predicted = [[tag if rng.random() < 0.8 else rng.choice(tags) for tag in row] for row in gold]
        want = 100 * f1_score(gold, predicted, mode="strict", scheme=theirs, zero_division=0)
        assert value(metric, to_iob2(gold, name), to_iob2(predicted, name)) == pytest.approx(want)


def test_classifications_scores_are_scikit_learns_on_a_thousand_files() -> None:
    rng = random.Random(3)
    labels = ("a", "b", "c", "d")
    accuracy, macro = classification.metrics("accuracy", labels, "eng", True)
    for _ in range(1000):
        gold = rng.choices(labels, k=rng.randint(1, 9))
        predicted = [g if rng.random() < 0.5 else rng.choice(labels) for g in gold]
        assert value(accuracy, gold, predicted) == pytest.approx(100 * accuracy_score(gold, predicted))
        assert value(macro, gold, predicted) == pytest.approx(100 * sklearn_f1(gold, predicted, average="macro"))
