"""From the spans of a context's windows to its answer, or none (SQuAD 2.0, Rajpurkar et al. 2018).

A head that has learnt from questions without an answer points to the first position where it sees none (Devlin et al.
2019, section 4.3). It answers only where its best span scores at least the first position's score less a threshold,
which is chosen on the source's dev sets, as SQuAD 2.0's script does.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from madx.tasks.examples import Calibration, Example, Feature, Said
from madx.tasks.metrics import answer_metrics

_F1 = answer_metrics("eng", True, may_be_none=True)[0]  # f1-squad: the same for every language


class Decoded(NamedTuple):
    """Of a window, or of an example: its best span, and what that has to score."""

    score: float
    first: int  # character
    last: int  # the one behind the last
    least: float  # a lower score is no answer; -inf where the head answers always


class Odds(NamedTuple):
    """Of a question in a dev set: how much the span lacks to what it has to score, and what answering gains."""

    lacks: float
    gains: float  # F1 that an answer has more than none


def answers_of(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Decoded]
) -> Iterator[tuple[Example, Decoded]]:
    """The best spans, or none where they score less than they have to."""
    for example, found in best_spans(examples, features, decoded):
        yield example, Decoded(found.least, 0, 0, found.least) if found.least > found.score else found


def best_spans(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Decoded]
) -> list[tuple[Example, Decoded]]:
    """The best span of all of an example's windows, and the least that any of them asks for."""
    best = [Decoded(-math.inf, 0, 0, math.inf)] * len(examples)
    for feature, (score, first, last, least) in zip(features, decoded, strict=True):
        before = best[feature.example]
        least = min(before.least, least)
        if score > before.score:
            before = Decoded(score, *_bounds(examples[feature.example].inputs[1], first, last), least)
        best[feature.example] = before._replace(least=least)
    return list(zip(examples, best, strict=True))


def _bounds(context: str, first: int, last: int) -> tuple[int, int]:
    """Without blanks around; the marks that sit on the last character are part of it."""
    while first < last < len(context) and unicodedata.category(context[last]).startswith("M"):
        last += 1
    text = context[first:last]
    return first + len(text) - len(text.lstrip()), last - len(text) + len(text.rstrip())


def odds_of(example: Example, decoded: Decoded) -> Odds:
    context: str = example.inputs[1]
    gold = [answer["text"] for answer in example.gold]
    (answered, _), (silent, _) = (_F1.counts(gold, said) for said in (context[decoded.first : decoded.last], ""))
    return Odds(decoded.least - decoded.score, answered - silent)


def best_threshold(questions: Sequence[Odds]) -> float:
    """Where F1 over the questions is highest if those that lack more aren't answered; half-way to the next one.

    `find_best_thresh` of SQuAD 2.0's script, but for ties, which it splits, and for the way between two questions.
    """
    ordered = sorted(questions)
    threshold, score, best = ordered[0].lacks - 1.0, 0.0, 0.0
    for this, following in zip(ordered, [*ordered[1:], Odds(ordered[-1].lacks + 2.0, 0.0)], strict=True):
        score += this.gains
        if score > best and following.lacks > this.lacks:
            best, threshold = score, (this.lacks + following.lacks) / 2
    return threshold


def has_unanswerable(examples: Sequence[Example]) -> bool:
    return not all(example.gold for example in examples)


def _choose(head: Any, said: Sequence[Said]) -> list[str]:
    """The threshold of no answer, by dev sets in which some questions have none; else 0."""
    questions = [(e, found) for s in said for e, found in best_spans(s.examples, s.features, s.decoded)]
    known = any(not example.gold for example, _ in questions)
    more = best_threshold([odds_of(*one) for one in questions]) if known else 0.0
    now = (head.spec.null_threshold or 0.0) if known else 0.0
    head.spec = head.spec.model_copy(update={"null_threshold": now + more})
    told = "training has questions without an answer, the dev set none: the threshold of no answer is 0"
    return [] if known else [told]


CALIBRATION = Calibration(has_unanswerable, _choose)
