"""Where and how steps run: the store, the device, the one encoder in memory. Nothing here names a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from madx.config import InputError, digest
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import EncoderRef
from madx.step import Step
from madx.store import Store
from madx.tasks.data import LabelledData, Statement
from madx.tasks.examples import Example
from madx.training.fit import Run
from madx.training.group import Group

KEPT = 5_000  # texts of a labelled data set
SAMPLED = 200  # examples of one, whose tokens are counted


class Sample(NamedTuple):
    """Of a labelled data set's examples, and how many there are."""

    size: int
    examples: list[Example]


@dataclass
class Session:
    store: Store
    device: torch.device
    data: Path | None = None
    trackers: tuple[str, ...] = ()
    watch: Callable[[str, int, int, dict[str, Any]], None] = lambda label, done, total, numbers: None
    group: Group = field(default=Group(), init=False)  # the processes that train a step together
    _encoder: Encoder | None = field(default=None, init=False)
    read: dict[str, Statement] = field(default_factory=dict, init=False)  # what labelled data was found to hold
    texts: dict[str, list[str]] = field(default_factory=dict, init=False)  # and its first texts
    _samples: dict[str, Sample] = field(default_factory=dict, init=False)

    def encoder(self, ref: EncoderRef) -> Encoder:
        """The encoder as it was published, without adapters; one is kept in memory."""
        if self._encoder is None or self._encoder.ref != ref:
            self._encoder = None
            self._encoder = load_encoder(ref, self.device, ref.precision)
        self._encoder.clear()
        self._encoder.processes = self.group.size
        return self._encoder

    def keep(self, encoder: Encoder, ref: EncoderRef) -> None:
        """Use this encoder, which is in memory, where a step asks for `ref`. Raises InputError for another one's."""
        if encoder.ref != ref:
            raise InputError(f"the encoder in memory is {encoder.ref.name}, the recipe's is {ref.name}")
        self._encoder = encoder

    def folder(self, step: Step) -> Path:
        """The folder of a step that has run, whose files are those that it wrote."""
        if not self.store.is_whole(step.name):
            raise self.store.missing(step.name)
        return self.store.folder(step.name)

    def result(self, step: Step) -> dict[str, Any]:
        """What a step that has run reported."""
        result: dict[str, Any] = self.store.result(step.name)["result"]
        return result

    def check_data(self, data: LabelledData) -> None:
        """Read it once, before any work. Raises InputError."""
        if digest(data) not in self.read:
            reading = data.read()
            self.read[digest(data)] = data.statement(reading)
            self._samples[digest(data)] = _sample(reading.examples)
            texts = (text for example in reading.examples for text in data.kind.texts(example))
            self.texts[digest(data)] = list(islice(texts, KEPT))

    def sample(self, data: LabelledData) -> Sample:
        """Of its examples; read only where it hasn't been checked."""
        if digest(data) not in self._samples:
            self._samples[digest(data)] = _sample(data.load())
        return self._samples[digest(data)]

    def training(self, folder: Path, seed: int, label: str) -> Run:
        """Where and how a training runs here; `label` is what its progress is called."""
        return Run(
            folder, seed, self.device, self.trackers,
            watch=lambda done, total, numbers: self.watch(label, done, total, numbers), group=self.group,
        )  # fmt: skip


def _sample(examples: list[Example]) -> Sample:
    return Sample(len(examples), examples[:: max(1, len(examples) // SAMPLED)])
