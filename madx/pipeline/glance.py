"""What a run says of its languages before it trains: what tokenizers make of them, and test sentences in training text.

By samples and within a second; `madx check` reads all, and run.json has what a finished run has counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from madx.config import digest
from madx.corpora.health import by_tokenizer
from madx.pipeline.check import about_seen, about_unknown, documents_of, seen
from madx.pipeline.plan import Plan
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.stages.vocabulary import VocabularyStage
from madx.tasks.data import LabelledData

SECONDS = 0.8  # for all languages together; what isn't reached is counted
TOKENISED, TESTED, HELD_AGAINST = 100, 500, 5_000  # lines of a text, sentences of a test set, lines of training text
MANY_SUBWORDS = 3.0  # a word; English has 1.4 by most encoders' tokenizers


class Written(NamedTuple):
    """A language's text by the tokenizer that it is trained with; test sentences where there is no text."""

    language: str
    how: str  # "", or what else than the encoder's tokenizer and the text's own script
    unknown_rate: float
    subwords_per_word: float | None  # None for languages written without blanks


class Seen(NamedTuple):
    test: str
    share: float  # of the sample's sentences, in training text or labels


class Glance(NamedTuple):
    written: list[Written]
    tests: list[Seen]
    left: int  # texts and test sets that there was no time for

    def lines(self) -> Iterator[str]:
        """What is remarkable, a line each, and one of what was looked at."""
        for text in self.written:
            name = f"{text.language}{text.how}"
            if said := about_unknown(name, text.unknown_rate):
                yield f"note: {said}"
            if text.subwords_per_word is not None and text.subwords_per_word > MANY_SUBWORDS:
                yield f"note: {name}: {text.subwords_per_word:.1f} subwords a word, which forecasts little transfer"
        for test in self.tests:
            if said := about_seen(test.test, test.share, "text or labels that are trained on"):
                yield f"note: {said}"
        parts = []
        if self.written:
            worst = max(self.written, key=lambda text: text.unknown_rate)
            unknown = f"at most {worst.unknown_rate:.1%} unknown tokens ({worst.language})"
            said = f"{len(self.written)} texts or test sets, {unknown}"
            words = [t.subwords_per_word for t in self.written if t.subwords_per_word is not None]
            parts.append(f"{said}, {min(words):.1f} to {max(words):.1f} subwords a word" if words else said)
        if self.tests:
            most = max(self.tests, key=lambda test: test.share)
            parts.append(f"{len(self.tests)} test sets, at most {most.share:.1%} in training text ({most.test})")
        if parts:
            left = f"; no time for {self.left} more" if self.left else ""
            yield f"looked at: {'; '.join(parts)}{left} (samples; `madx check` reads all)"
        elif self.left:
            yield "looked at: nothing in the time for it; `madx check` reads all"


def glance(plan: Plan, session: Session) -> Glance:
    """Of what is still to be made, once it is checked. Raises InputError for a text that can't be read."""
    tokenizer = session.encoder(plan.encoder).tokenizer  # which was loaded for the checks, or would be next
    end = time.perf_counter() + SECONDS
    texts = [step for step in plan.steps if isinstance(step, TextStage) and not session.store.is_done(step.name)]
    tests = {name: cell.test for cell in plan.cells if cell.test and (name := digest(cell.test)) in session.texts}
    with_text = {step.subject for step in plan.steps if isinstance(step, TextStage)}
    written, held, left = list[Written](), list[Seen](), 0
    for step in texts:
        own = tokenizer if step.vocabulary is None else _made(step.vocabulary, session)
        if own is None or not any(source.file for source in step.corpus.sources):
            continue  # a vocabulary that is made from the text writes it; the Hub isn't asked for this
        if time.perf_counter() > end:
            left += 1
            continue
        lines = (line for line in documents_of(step, session) if line.strip())
        written.append(_written(step.subject, _how(step), lines, own, step.corpus.has_spaces))
    for name, test in tests.items():
        if time.perf_counter() > end:
            left += 1
            continue
        sample = session.texts[name][:: max(1, len(session.texts[name]) // TESTED)]
        if test.language not in with_text:
            written.append(_written(test.language, f" in {test.task.name}", sample, tokenizer, test.has_spaces))
        share = seen(sample, _until(end, _training(test, plan, session)), test.has_spaces)
        held.append(Seen(f"{test.task.name} {test.language} {test.split}", share))
    return Glance(written, held, left)


def _written(language: str, how: str, lines: Iterable[str], tokenizer: Any, has_spaces: bool) -> Written:
    health = by_tokenizer(islice(lines, TOKENISED), tokenizer)
    return Written(language, how, health.unknown_rate, health.subwords_per_word if has_spaces else None)


def _made(vocabulary: VocabularyStage, session: Session) -> Any:
    """Its tokenizer; None: there is none yet."""
    return vocabulary.tokenizer(session) if session.store.is_done(vocabulary.name) else None


def _how(step: TextStage) -> str:
    romanised = any(source.romanised for source in step.corpus.sources)
    lines = "" if step.corpus.lines is None else f" ({step.corpus.lines:,} lines)"
    return (" in Latin letters" if romanised else "") + (" by its own vocabulary" if step.vocabulary else "") + lines


def _training(test: LabelledData, plan: Plan, session: Session) -> Iterator[str]:
    """The first lines of each text of the language, and its labelled data for the task."""
    texts = {step.corpus.sources: step for step in plan.steps if isinstance(step, TextStage)}
    labelled = {
        digest(data): None for cell in plan.cells for data in cell.stage.train
        if (data.task.name, data.language) == (test.task.name, test.language)
    }  # fmt: skip
    return chain(
        *(session.texts.get(name, ()) for name in labelled),
        *(islice(documents_of(s, session), HELD_AGAINST) for s in texts.values() if s.subject == test.language),
    )


def _until(end: float, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if time.perf_counter() > end:
            return
        yield line
