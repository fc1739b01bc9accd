"""A task's model: the encoder with what a method put into it, and the task's head. Stages two and three and prediction
use it alike.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from madx.catalog.task import TaskSpec
from madx.encoders.encoder import Encoder
from madx.encoders.lower import Lower
from madx.stages.entropy import Adapts
from madx.tasks.batches import Batch, Tokens, pad, parts_by_length
from madx.tasks.examples import Example, Feature, Said
from madx.tasks.kinds import kind_of
from madx.training.fit import Part


def in_encoder(task: str) -> str:
    """What a task's adapter is called beside those of languages: `pos` and `ner` are languages too (ISO 639-3)."""
    return f"task {task}"


class Retargets(Protocol):
    """A method, or what stands for one while it is trained."""

    def retarget(self, encoder: Encoder, name: str, language: str | None, /) -> None:
        """Swap the language adapter below the part of this name; None: no language adapter."""


class TaskModel:
    """The encoder is as `retarget` has left it. `adapts`: what is done for each sentence before it is predicted."""

    adapts: Adapts | None = None

    def __init__(
        self,
        encoder: Encoder,
        method: Retargets,
        task: TaskSpec,
        head: nn.Module,
        max_length: int,
        called: str | None = None,
    ) -> None:
        """`called`: what the method's part is called in the encoder, where it isn't the task's usual name."""
        self.encoder, self.method, self.task, self.head = encoder, method, task, head.to(encoder.device)
        self.called = called or in_encoder(task.name)
        self.kind = kind_of(task)
        self.max_length = min(max_length, encoder.max_length)
        self._tokens: Tokens | None = None

    def retarget(self, language: str | None) -> None:
        """Put this language's adapter, which is attached, below; None: none."""
        self.method.retarget(self.encoder, self.called, language)

    @property
    def tokens(self) -> Tokens:
        """By the tokenizer that the encoder reads with now: a language's adapter may have brought its own."""
        if self._tokens is None or self._tokens.tokenizer is not self.encoder.tokenizer:
            self._tokens = Tokens(self.encoder.tokenizer, self.max_length)
        return self._tokens

    def features(self, examples: Sequence[Example]) -> list[Feature]:
        return self.kind.features(examples, self.tokens, self.task)

    def parts(self, features: Sequence[Feature]) -> Iterator[Batch]:
        """A training batch in parts that fit; whole where texts are told from each other by their images."""
        if self.kind.OF_IMAGES:
            encoder = self.encoder
            return iter([pad(features, encoder.pad_id, encoder.device, encoder.has_types)])
        return (batch for _, batch in parts_by_length(features, self.encoder, training=True))

    def update(self, features: Sequence[Feature], loss_of: Callable[[Batch], Callable[[], Tensor]]) -> list[Part]:
        """Those parts, each with its summed loss, its targets and its tokens."""
        return [
            Part(loss_of(part), sum(map(self.kind.targets, part.features)), part.tokens)
            for part in self.parts(features)
        ]

    def summed_loss(self, batch: Batch, language: str | None, lower: Lower | None = None) -> Tensor:
        """Over the adapter of `language`; with `lower`, the layers below are not run."""
        return self.kind.summed_loss(self.head, self.states_over(batch, language, lower), batch)

    def states_over(self, batch: Batch, language: str | None, lower: Lower | None = None) -> Tensor:
        """What the head reads, over the adapter of `language`."""
        self.retarget(language)
        return self.states(batch, lower)

    def predict(self, examples: Sequence[Example]) -> list[Any]:
        """One prediction an example, without dropout."""
        return self.kind.join(*self.say(examples), self.task)

    def say(self, examples: Sequence[Example]) -> Said:
        features = self.features(examples)
        (decoded,) = self._said(features, self.kind.decode)
        return Said(examples, features, decoded)

    def explain(self, examples: Sequence[Example], features: Sequence[Feature]) -> list[tuple[Any, dict[str, Any]]]:
        """The same, each with what is told of it beside: its probabilities, ... `features`: of the examples."""
        decoded, confidence = self._said(features, self.kind.decode, self.kind.confidence)
        predicted = self.kind.join(examples, features, decoded, self.task)
        return list(zip(predicted, self.kind.explain(examples, features, decoded, confidence, self.task), strict=True))

    @torch.no_grad()
    def _said(
        self, features: Sequence[Feature], *asked: Callable[[nn.Module, Tensor, Batch], list[Any]]
    ) -> list[list[Any]]:
        """What the head answers of each feature, to each question."""
        said: list[list[Any]] = [[None] * len(features) for _ in asked]
        with self.encoder.evaluating():
            training = self.head.training
            self.head.eval()
            for chosen, batch in self._batches(features):
                head, states = self._answering(batch)
                for answers, ask in zip(said, asked, strict=True):
                    for i, value in zip(chosen, ask(head, states, batch), strict=True):
                        answers[i] = value
            self.head.train(training)
        return said

    def _batches(self, features: Sequence[Feature]) -> Iterator[tuple[Sequence[int], Batch]]:
        if self.adapts is None or not self.adapts.by_sentence:
            yield from parts_by_length(features, self.encoder)
        else:
            for number, feature in enumerate(features):
                for _, batch in parts_by_length([feature], self.encoder):
                    yield [number], batch

    def _answering(self, batch: Batch) -> tuple[nn.Module, Tensor]:
        return (self.head, self.states(batch)) if self.adapts is None else self.adapts.answering(self, batch)

    def entropy(self, batch: Batch) -> Tensor:
        """Of what the head says of it."""
        return self.kind.entropy(self.head, self.states(batch), batch)

    def states(self, batch: Batch, lower: Lower | None = None) -> Tensor:
        """What the head reads of it, with what is active now."""
        read = self.kind.read_positions(batch)
        return self.encoder.hidden(batch.ids_BT, batch.mask_BT, batch.types_BT, read, lower)
