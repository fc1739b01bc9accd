"""The labelled data that stage two learns from: features of every source language, in batches, and the dev sets."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from madx.stages.scoring import score_examples
from madx.stages.task_model import TaskModel
from madx.stages.turns import Turns, shares
from madx.tasks.batches import training_order
from madx.tasks.data import LabelledData
from madx.tasks.examples import Feature


class Over(NamedTuple):
    """The frozen language adapters of stage two, by their names in the encoder: those of `sources` first, in order.

    `cycle`: every batch over the next one in turn; else each over its own language's.
    """

    names: list[str]
    sources: list[str]
    cycle: bool

    def of_batch(self, step: int, language: str) -> str | None:
        return self.names[step % len(self.names)] if self.cycle else self.of(language)

    def of(self, language: str) -> str | None:
        """A source's own; where there is none for each, as with one for a pair of languages, the first."""
        place = self.sources.index(language)
        return self.names[place if place < len(self.names) else 0] if self.names else None


class SourceData:
    """`features`, by language."""

    def __init__(self, model: TaskModel, train: Sequence[LabelledData], dev: Sequence[LabelledData]) -> None:
        self.model = model
        examples = {data.language: data.load() for data in train}
        self.sizes = {language: len(theirs) for language, theirs in examples.items()}
        self.features = {language: model.features(theirs) for language, theirs in examples.items()}
        self.dev = [(data, data.load()) for data in dev]
        calibration = model.kind.CALIBRATION
        learnt = [example for theirs in examples.values() for example in theirs]
        self.calibration = calibration if calibration and calibration.needed(learnt) else None
        if self.calibration:
            self.calibration.choose(model.head, ())

    def calibrate(self, over: Over) -> list[str]:
        """Choose on the dev sets what of the head isn't learnt; what there is to say of it."""
        if self.calibration is None:
            return []
        said = []
        for data, examples in self.dev:
            self.model.retarget(over.of(data.language))
            said.append(self.model.say(examples))
        return self.calibration.choose(self.model.head, said)

    def score_dev(self, over: Over) -> dict[str, float]:
        """The mean over the dev sets of the task's metric, each over its own language's adapter."""
        self.calibrate(over)
        values = []
        for data, examples in self.dev:
            self.model.retarget(over.of(data.language))
            values.append(score_examples(data, examples, self.model.predict(examples))[0])
        return {"dev": sum(values) / len(values)}

    def chance(self) -> float | None:
        """Nats per target of always guessing the labels' frequencies; None where targets are no classes."""
        counts: Counter[Hashable] = Counter()
        for feature in (f for theirs in self.features.values() for f in theirs):
            counts.update(self.model.kind.classes(feature))
        total = sum(counts.values())
        return -sum(n / total * math.log(n / total) for n in counts.values()) if total else None


class Batches:
    """The batches of all epochs, by number. A batch is of one language; with one source that is no limit.

    An epoch has as many batches as all examples fill. At temperature 1 it is each example once; above, languages with
    little come round more often and those with much don't get through: p_l ~ n_l ** (1 / temperature), n_l its batches.
    """

    def __init__(
        self, features: dict[str, list[Feature]], batch_size: int, seed: int, temperature: float = 1.0
    ) -> None:
        self.features, self.batch_size, self.seed = features, batch_size, seed
        self._languages = list(features)
        self._sizes = [math.ceil(len(f) / batch_size) for f in features.values()]
        self._turns = Turns(shares(self._sizes, temperature), seed)
        self._orders: dict[tuple[int, int], list[list[int]]] = {}  # batches by language and time through, of an epoch
        self._epoch = 0

    def __len__(self) -> int:
        """In an epoch."""
        return len(self._turns)

    def __call__(self, step: int) -> tuple[str, list[Feature]]:
        if self._epoch != step // len(self):
            self._epoch = step // len(self)
            self._orders.clear()
        number, turn = self._turns(step)
        language = self._languages[number]
        time, position = divmod(turn, self._sizes[number])
        return language, [self.features[language][i] for i in self._order(number, time)[position]]

    def _order(self, number: int, time: int) -> list[list[int]]:
        if (number, time) not in self._orders:
            features = self.features[self._languages[number]]
            self._orders[number, time] = training_order(features, self.batch_size, (self.seed, time, number))
        return self._orders[number, time]
