"""Metrics as two pure functions: the counts of one example, and the value (in percent) of summed counts.

Evaluation keeps the counts, so an interval is one matrix product over resampled sums.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# what each is, for people
DEFINITIONS = {
    "accuracy": "the share of words (in tagging) or of examples that are right",
    "span-f1": "micro F1 of entities, right when type and both ends are (seqeval, mode strict, IOB2)",
    "macro-f1": "the mean over labels of each label's F1; labels that occur in gold or predictions (scikit-learn)",
    "las": "the share of words whose head and relation are right, punctuation included (CoNLL 2018)",
    "uas": "the share of words whose head is right",
    "f1-squad": "words shared by answer and gold answer as F1, the best gold answer (SQuAD 1.1's script; 2.0's where "
    "some questions have no answer)",
    "em": "the share of answers that are a gold answer but for case, punctuation and English articles (SQuAD 1.1, 2.0)",
    "f1-has-answer": "f1-squad over the questions that have an answer (SQuAD 2.0's HasAns_f1)",
    "f1-no-answer": "the share of the questions without an answer to which none is given (SQuAD 2.0's NoAns_f1)",
    "f1-mlqa": "as f1-squad, with each language's punctuation and articles (MLQA's script)",
    **{
        f"{what}-recall@{k}": f"the share of {other}s whose own {what} is among the {k} nearest of all {what}s of the "
        f"test set (by chance {k} of their number)"
        for what, other in (("image", "caption"), ("caption", "image"))
        for k in (1, 5, 10)
    },
    "qa-f1": "as f1-squad, with characters as words in languages written without blanks",
}

Counts = Callable[[Any, Any], list[float]]


@dataclass(frozen=True)
class Metric:
    """`counts(gold, predicted)` of one example, and `value(sums)`: (..., K) summed counts to (...) percent."""

    name: str
    counts: Counts
    value: Callable[[np.ndarray], np.ndarray]


def share(name: str, counts: Counts) -> Metric:
    """What share of something is right, in percent; `counts`: right, and all."""
    return Metric(name, counts, _ratio)


def _ratio(sums: np.ndarray) -> np.ndarray:
    total = sums[..., 1]
    percent: np.ndarray = 100.0 * np.divide(sums[..., 0], total, out=np.zeros_like(total), where=total > 0)
    return percent


def _f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    below = 2 * tp + fp + fn
    percent: np.ndarray = 100.0 * np.divide(2 * tp, below, out=np.zeros_like(below, dtype=float), where=below > 0)
    return percent


def _micro_f1(sums: np.ndarray) -> np.ndarray:
    return _f1(sums[..., 0], sums[..., 1], sums[..., 2])


def _of_sets(gold: set[Any], predicted: set[Any]) -> list[float]:
    return [len(gold & predicted), len(predicted - gold), len(gold - predicted)]


def accuracy() -> Metric:
    """Examples that are right."""
    return share("accuracy", lambda gold, predicted: [float(gold == predicted), 1.0])


def word_accuracy() -> Metric:
    """Words that are right."""

    def counts(gold: Sequence[str], predicted: Sequence[str]) -> list[float]:
        return [sum(g == p for g, p in zip(gold, predicted, strict=True)), len(gold)]

    return share("accuracy", counts)


def span_f1() -> Metric:
    """Micro F1 of entities (seqeval, mode strict, IOB2)."""
    return Metric("span-f1", span_counts, _micro_f1)


def strict_spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Entities of one sentence, strict IOB2: an I- without its B- starts nothing (seqeval, mode strict)."""
    from seqeval.scheme import IOB2, Entities  # with scikit-learn: 0.7 s, which stage one needn't wait for

    found = Entities([list(tags)], IOB2, False).entities[0]
    return {(entity.tag, entity.start, entity.end) for entity in found}


def span_counts(gold: Sequence[str], predicted: Sequence[str]) -> list[float]:
    return _of_sets(strict_spans(gold), strict_spans(predicted))


def macro_f1(labels: Sequence[str]) -> Metric:
    """Mean F1 of the labels that occur in gold or predictions (scikit-learn's default)."""
    index = {label: i for i, label in enumerate(labels)}

    def counts(gold: str, predicted: str) -> list[float]:
        row = [0.0] * (3 * len(labels))
        if gold == predicted:
            row[3 * index[gold]] = 1.0
        else:
            row[3 * index[predicted] + 1] = 1.0
            row[3 * index[gold] + 2] = 1.0
        return row

    def value(sums: np.ndarray) -> np.ndarray:
        per = sums.reshape(*sums.shape[:-1], len(labels), 3)
        occurs = per.sum(-1) > 0
        f1 = _f1(per[..., 0], per[..., 1], per[..., 2])
        mean: np.ndarray = (f1 * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1)
        return mean

    return Metric("macro-f1", counts, value)


# ------------------------------------------------------------------------------------------- question answering
#
# Three definitions of F1, each under its own name. Of several gold answers the best counts.


def squad_words(text: str) -> list[str]:
    """Lower case, no ASCII punctuation, no English articles, words at blanks (SQuAD 1.1's script, in any language)."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


# MLQA's script by our language codes: articles that don't count
_MLQA_ARTICLES = {
    "eng": r"\b(a|an|the)\b",
    "spa": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vie": r"\b(của|là|cái|chiếc|những)\b",
    "deu": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "arb": r"\sال^|ال",
}


def mlqa_words(text: str, language: str, has_spaces: bool) -> list[str]:
    """Lower case, no punctuation of any script, no articles, words at blanks; Han characters are words (MLQA's script).

    It knows seven languages. Others have no articles here, and those written without spaces are cut as its Chinese.
    """
    bare = "".join(c for c in text.lower() if not _is_punctuation(c))
    if language in _MLQA_ARTICLES:
        bare = re.sub(_MLQA_ARTICLES[language], " ", bare)
    return bare.split() if has_spaces else re.sub("([\u4e00-\u9fa5])", r" \1 ", bare).split()


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def own_words(text: str, has_spaces: bool) -> list[str]:
    """Lower case, no punctuation, no English articles; words at blanks, or single characters where there are none."""
    bare = "".join(c for c in text.lower() if not _is_punctuation(c))
    words = re.sub(r"\b(a|an|the)\b", " ", bare).split()
    return words if has_spaces else list("".join(words))


def overlap(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """F1 of two bags of words; 0 where they share none, and so of two empty ones (SQuAD 1.1, MLQA)."""
    common = sum((Counter(gold) & Counter(predicted)).values())
    return 2 * common / (len(gold) + len(predicted)) if common else 0.0


def own_overlap(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """`overlap`, but two empty answers agree."""
    return overlap(gold, predicted) if gold or predicted else 1.0


def same(gold: Sequence[str], predicted: Sequence[str]) -> float:
    return float(gold == predicted)


Words = Callable[[str], list[str]]
Agree = Callable[[Sequence[str], Sequence[str]], float]


def answers(name: str, words: Words, agree: Agree) -> Metric:
    """The mean of how far each answer agrees with the best of its gold ones, as words."""

    def counts(gold: Sequence[str], predicted: str) -> list[float]:
        found = words(predicted)
        return [max((float(agree(words(answer), found)) for answer in gold), default=0.0), 1.0]

    return share(name, counts)


def answers_or_none(name: str, words: Words, agree: Agree, of: tuple[bool, ...] = (True, False)) -> Metric:
    """The same where a question may have no answer, which no answer alone agrees with (SQuAD 2.0's script).

    A gold answer without words counts as none. `of`: questions that have an answer, those that have none, or both.
    """

    def counts(gold: Sequence[str], predicted: str) -> list[float]:
        if bool(gold) not in of:
            return [0.0, 0.0]
        wanted = [right for answer in gold if (right := words(answer))] or [[]]
        found = words(predicted)
        return [max(float(agree(right, found)) for right in wanted), 1.0]

    return share(name, counts)


def answer_metrics(language: str, has_spaces: bool, may_be_none: bool = False) -> list[Metric]:
    """`f1-squad` and `em` as SQuAD 1.1's script counts, `f1-mlqa` as MLQA's, `qa-f1` our own.

    With questions that have no answer as SQuAD 2.0's script does, and F1 of either sort of question beside.
    """

    def mlqa(text: str) -> list[str]:
        return mlqa_words(text, language, has_spaces)

    def own(text: str) -> list[str]:
        return own_words(text, has_spaces)

    if not may_be_none:
        return [
            answers("f1-squad", squad_words, overlap), answers("em", squad_words, same),
            answers("f1-mlqa", mlqa, overlap), answers("qa-f1", own, own_overlap),
        ]  # fmt: skip
    return [
        answers_or_none("f1-squad", squad_words, own_overlap), answers_or_none("em", squad_words, same),
        answers_or_none("f1-mlqa", mlqa, own_overlap), answers_or_none("qa-f1", own, own_overlap),
        answers_or_none("f1-has-answer", squad_words, own_overlap, (True,)),
        answers_or_none("f1-no-answer", squad_words, own_overlap, (False,)),
    ]  # fmt: skip
