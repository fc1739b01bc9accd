"""Everything about a recipe that can be known before training: what was read, what fits, what leaks, what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from madx.corpora.clean import Cleaner
from madx.corpora.contamination import contamination
from madx.corpora.documents import documents
from madx.corpora.health import Health, by_tokenizer
from madx.encoders.encoder import Encoder
from madx.pipeline.estimate import estimate
from madx.pipeline.plan import Plan, check_plan
from madx.stages.language import LanguageStage
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.stages.text import TextStage
from madx.tasks.batches import Tokens
from madx.tasks.data import LabelledData, Split, Statement

SAMPLE = 1000  # documents of a language, examples of a data set
UNCUT = 1 << 20


class DataSet(NamedTuple):
    """A labelled data set. `too_long`: share of examples longer than max_length: split, windowed or cut, by kind."""

    task: str
    language: str
    split: Split
    statement: str
    labels: dict[str, int]
    longest: int  # tokens, of a sample
    too_long: float
    seen_in_text: float | None  # share of a test set's sentences that stand in the language's training text
    seen_in_training: float | None  # or in the labelled data that is trained on


class Text(NamedTuple):
    """A language's text, by a sample of its first documents. `against_english`: subwords a word, as a ratio."""

    language: str
    documents: int
    unknown_rate: float
    subwords_per_word: float
    against_english: float | None


class Cost(NamedTuple):
    """Seconds on this machine, one step after the other; bytes in the store, and for checkpoints while it runs."""

    seconds: float
    steps: int
    reused: int
    bytes_kept: int
    bytes_meanwhile: int


class Checked(NamedTuple):
    notes: tuple[str, ...]
    data: list[DataSet]
    texts: list[Text]
    cost: Cost


def check(plan: Plan, session: Session) -> Checked:
    """Trains nothing. Raises InputError for what can't be right."""
    check_plan(plan, session)
    encoder = session.encoder(plan.encoder)
    texts = {step.subject: step for step in plan.steps if isinstance(step, TextStage)}
    return Checked(plan.notes, _data_sets(plan, encoder, texts, session), _texts(texts, encoder, session),
                   _cost(plan, encoder, session))  # fmt: skip


# ------------------------------------------------------------------------------------------------ labelled data


def _data_sets(plan: Plan, encoder: Encoder, texts: dict[str, TextStage], session: Session) -> list[DataSet]:
    sets: dict[tuple[str, str, Split], LabelledData] = {}
    for cell in plan.cells:
        for data in (*cell.stage.train, *cell.stage.dev, *([cell.test] if cell.test else [])):
            sets[data.task.name, data.language, data.split] = data
    read = {key: data.read() for key, data in sets.items()}
    tokens = Tokens(encoder.tokenizer, UNCUT)
    found = []
    for key, data in sets.items():
        examples = read[key].examples
        sample = examples[:: max(1, len(examples) // SAMPLE)]
        lengths = [0] * len(sample)
        for feature in data.kind.features(sample, tokens, data.task):
            lengths[feature.example] = max(lengths[feature.example], feature.length)
        statement: Statement = data.statement(read[key])
        test, longest = data.split == "test", plan.recipe.stage_two(data.task.name).max_length
        text = texts.get(data.language)
        lines = [line for example in examples for line in data.kind.texts(example)] if test else []
        labelled = (
            line
            for other, theirs in sets.items()
            if other[0] == key[0] and other[2] == "train"
            for example in read[other].examples
            for line in theirs.kind.texts(example)
        )
        found.append(
            DataSet(
                *key, str(statement), statement.labels, max(lengths),
                sum(n > min(longest, encoder.max_length) for n in lengths) / len(lengths),
                seen(lines, documents_of(text, session), data.has_spaces) if test and text else None,
                seen(lines, labelled, data.has_spaces) if test else None,
            )
        )  # fmt: skip
    return found


def seen(sentences: Sequence[str], training: Iterable[str], has_spaces: bool) -> float:
    """Share of a test set's sentences that are a line of the training text, or that share a long run with it."""
    found = contamination({"test": sentences}, training, has_spaces)["test"]
    return max(found.matched_share, found.overlapping_share)


def documents_of(text: TextStage, session: Session) -> Iterator[str]:
    for source in text.corpus.sources:
        if source.file is not None:  # what lies on the Hub isn't fetched for this
            yield from documents(source, session.data)


# -------------------------------------------------------------------------------------------------------- text


def _texts(texts: dict[str, TextStage], encoder: Encoder, session: Session) -> list[Text]:
    healths = {code: _health(step, encoder, session) for code, step in texts.items()}
    english = healths["eng"].subwords_per_word if "eng" in healths else 0.0
    return [
        Text(
            code, found.sentences, found.unknown_rate, found.subwords_per_word,
            found.subwords_per_word / english if english and texts[code].corpus.has_spaces else None,
        )
        for code, found in healths.items()
    ]  # fmt: skip


def _health(text: TextStage, encoder: Encoder, session: Session) -> Health:
    clean = Cleaner()
    kept = (piece for document in islice(documents_of(text, session), SAMPLE) if (piece := clean(document)))
    return by_tokenizer(kept, encoder.tokenizer)


# -------------------------------------------------------------------------------------------------------- cost


def _cost(plan: Plan, encoder: Encoder, session: Session) -> Cost:
    seconds = estimate(plan, session)
    whole = sum(p.numel() for p in encoder.base.parameters())
    kept, largest = 0, 0
    for step in plan.steps:
        if step.name not in seconds:
            continue
        if isinstance(step, LanguageStage | TaskStage):
            size = 4 * (adapter_size(step, encoder, session) if step.method.shared else whole)
            kept, largest = kept + size, max(largest, 4 * size)  # AdamW's two moments, the best so far
    return Cost(sum(seconds.values()), len(plan.steps), len(plan.steps) - len(seconds), kept, largest)


def adapter_size(step: LanguageStage | TaskStage, encoder: Encoder, session: Session) -> int:
    """Weights of its adapter."""
    with encoder.lent():
        return sum(p.numel() for p in step.method.attach(encoder, "counted", 0, session).values())


def about_unknown(name: str, rate: float) -> str | None:
    """Where it is too much."""
    return f"{name}: {rate:.1%} of its tokens are unknown to the encoder's tokenizer" if rate > 0.01 else None


def about_seen(name: str, share: float | None, where: str) -> str | None:
    """Where it is too much."""
    if share is None or share <= 0.01:
        return None
    return f"{name}: {share:.1%} of its sentences stand in the {where}; the score will flatter"


def to_look_at(checked: Checked) -> list[str]:
    """What a person should look at, worst first, one line each."""
    said = [about_unknown(text.language, text.unknown_rate) for text in checked.texts]
    found = [
        f"{text.language}: nothing of its text is left after cleaning; do its `lines` lie beyond the end?"
        for text in checked.texts
        if not text.documents
    ]
    found += [line for line in said if line]
    for data in checked.data:
        name = f"{data.task} {data.language} {data.split}"
        said = [
            about_seen(name, data.seen_in_text, "text that is trained on"),
            about_seen(name, data.seen_in_training, "training labels"),
        ]
        found += [line for line in said if line]
        if data.too_long > 0.01:
            found.append(f"{name}: {data.too_long:.1%} are longer than max_length ({data.longest} tokens the longest)")
    return found
