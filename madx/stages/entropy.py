"""What is done at evaluation with several language adapters side by side, before a sentence's or a batch's answer.

EMEA (Wang et al. 2021, arXiv 2109.04877, section 3, and its third_party/run_tag.py): for each sentence by itself, the
mixture's weights w = softmax(z) go down the gradient of the predictions' mean entropy, z <- z - rate * dH/dz, and are
equal again for the next one. Or each adapter answers by itself, and the probabilities are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from madx.adapters.setup import Mix, Setup, Stack
from madx.config import Frozen, InputError
from madx.encoders.encoder import Encoder
from madx.tasks.kinds import kind_of

if TYPE_CHECKING:
    from madx.catalog.task import TaskSpec
    from madx.stages.task_model import TaskModel
    from madx.tasks.batches import Batch


class EntropyMinimisation(Frozen):
    version: ClassVar[int] = 2  # the weights are a softmax
    by_sentence: ClassVar[bool] = True
    steps: int = Field(1, ge=1, le=1000)
    rate: float = Field(10.0, gt=0)  # the authors'

    def check(self, task: TaskSpec) -> None:
        """Raises InputError where a sentence by itself has nothing to be undecided among."""
        if kind_of(task).OF_IMAGES:
            raise InputError(f"emea: {task.name} tells a batch's texts from each other, and EMEA takes one at a time")

    def answering(self, model: TaskModel, batch: Batch) -> tuple[nn.Module, Tensor]:
        """The head and the states that it reads."""
        self.adapt(model.encoder, partial(model.entropy, batch))
        return model.head, model.states(batch)

    def adapt(self, encoder: Encoder, entropy: Callable[[], Tensor]) -> None:
        """Set the weights of the active mixture, if one is, for the sentence whose predictions `entropy` is of."""
        first, _ = _mixture(encoder)
        if first is None:
            return
        mixes = encoder.adapters.mixes
        logits = torch.zeros_like(mixes[first.name])
        for _ in range(self.steps):
            logits.requires_grad_(True)
            with torch.enable_grad():
                mixes[first.name] = logits.softmax(-1)
                (gradient,) = torch.autograd.grad(entropy(), logits)
            logits = (logits - self.rate * gradient).detach()
        mixes[first.name] = logits.softmax(-1)

    def passes(self, parts: int) -> tuple[int, int]:
        """How often a sentence goes forth and back, and only forth, through the encoder."""
        return (self.steps, 1) if parts > 1 else (0, 1)

    def told(self) -> dict[str, Any]:
        """As models.json has it."""
        return {"entropy_steps": self.steps}


class ProbabilityMean(Frozen):
    """p(y) = 1/n sum_i p_i(y), of the answers over each adapter of the active mixture by itself."""

    by_sentence: ClassVar[bool] = False

    def check(self, task: TaskSpec) -> None:
        """Raises InputError for answers that are no classes: trees, and spans of several windows."""
        if not kind_of(task).OF_CLASSES:
            raise InputError(
                f"ensemble-logits: what answers {task.name} has no probabilities that could be averaged one by one; "
                "take `ensemble`, or hold it to other tasks"
            )

    def answering(self, model: TaskModel, batch: Batch) -> tuple[nn.Module, Tensor]:
        """A head that says log p whatever it is given, and what it is given."""
        log_p = []
        for _ in _each(model.encoder):
            states = model.states(batch)
            (logits_NC,) = model.kind.decisions(model.head, states, batch)
            log_p.append(logits_NC.float().log_softmax(-1))
        mean = torch.stack(log_p).logsumexp(0) - math.log(len(log_p))
        return _Said(mean), states

    def passes(self, parts: int) -> tuple[int, int]:
        return 0, parts

    def told(self) -> dict[str, Any]:
        return {"averaged": True}


Adapts = EntropyMinimisation | ProbabilityMean


class _Said(nn.Module):
    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, states: Tensor) -> Tensor:
        return self.logits


def _mixture(encoder: Encoder) -> tuple[Mix | None, tuple[Setup, ...]]:
    """The active mixture, and what is stacked on it."""
    active = encoder.adapters.active
    first, *rest = active.children if isinstance(active, Stack) else (active,)
    return (first, tuple(part for part in rest if part is not None)) if isinstance(first, Mix) else (None, ())


def _each(encoder: Encoder) -> Iterator[None]:
    """Each adapter of the active mixture active in turn, in its place; after, the mixture again. None: once."""
    mixture, above = _mixture(encoder)
    if mixture is None:
        yield
        return
    active = encoder.adapters.active
    try:
        for child in mixture.children:
            encoder.adapters.activate(child, *above)
            yield
    finally:
        encoder.adapters.active = active
