"""A language adapter made of others, without training: the weighted mean of their parameters, invertible parts too.

Language arithmetic (Klimaszewski et al. 2024, arXiv 2404.15737) and, for languages without text, merges weighted by
typology (TIPA, arXiv 2601.16629): theta = sum_i w_i theta_i.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from madx.adapters.bank import Adapter
from madx.catalog.language import Language
from madx.config import Frozen, InputError
from madx.corpora.packing import Blocks
from madx.corpora.prepare import HELD_OUT
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import seal_with_card
from madx.stages.masked_lm import held_out_loss
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import AdapterStep, Result

TEMPERATURE = 0.1  # of the softmax over nearness in the family tree; at 1 the weights are nearly equal


class Weighted(Frozen):
    adapter: AdapterStep
    weight: float


class MergedAdapter(AdapterStep):
    stage: ClassVar[str] = "merged"
    encoder: EncoderRef
    language: str
    parts: tuple[Weighted, ...]
    judged_on: TextStage | None = None  # held-out text of the language, if there is any: is it better than none?

    @property
    def subject(self) -> str:
        return self.language

    @torch.no_grad()
    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        adapters = []
        for number, part in enumerate(self.parts):
            name = f" {number}" if number else self.language  # the first one becomes the sum
            adapters.append(
                (part.adapter.subject, load_adapter(session.folder(part.adapter), encoder, load_as=name)[1])
            )
        adapters[0][1].load_state_dict(combined(self.language, adapters, [part.weight for part in self.parts]))
        save_adapter(folder, encoder, self.language)
        weights = {part.adapter.subject: round(part.weight, 6) for part in self.parts}
        about = {
            "kind": "language adapter",
            "language": self.language,
            "base_model": self.encoder.about,
            "merged_from": weights,
        }
        seal_with_card(folder, about)
        return {"merged_from": weights, **self._judged(encoder, session)}

    def _judged(self, encoder: Encoder, session: Session) -> Result:
        if self.judged_on is None:
            return {"warnings": []}
        corpus, losses = self.judged_on.corpus, []
        held_out = Blocks(session.folder(self.judged_on) / HELD_OUT, corpus.held_out_size)
        for setup in ((), (self.language,)):
            encoder.activate(*setup)
            losses.append(held_out_loss(encoder, held_out)["held_out_loss"])
        before, after = losses
        worse = (
            f"{self.language}: the merged adapter does not lower the held-out loss ({before:.2f} to {after:.2f}); "
            "compare it with no-language-adapter before using it"
        )
        return {"held_out_before": before, "held_out_after": after, "warnings": [worse] if after >= before else []}


def combined(language: str, adapters: Sequence[tuple[str, Adapter]], weights: Sequence[float]) -> dict[str, Tensor]:
    """sum_i w_i theta_i of adapters of one shape. Raises InputError for others."""
    (lead, first), *_ = adapters
    for subject, adapter in adapters:
        if adapter.spec != first.spec:
            raise InputError(
                f"{language}: the adapters of {lead} and {subject} have other shapes; only equal ones can be merged"
            )
    return weighted_sum(weights, [adapter.state_dict() for _, adapter in adapters])


def weighted_sum(weights: Sequence[float], states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """sum_i w_i theta_i, in the tensors' own precision."""
    terms = {key: [w * state[key] for w, state in zip(weights, states, strict=True)] for key in states[0]}
    return {key: torch.stack(parts).sum(0) for key, parts in terms.items()}


def nearness(one: Language, other: Language) -> float:
    """How much of their paths through the family tree two languages share, from 0 to 1 (Dice's coefficient)."""
    common = 0
    for mine, theirs in zip(one.family, other.family, strict=False):
        if mine != theirs:
            break
        common += 1
    return 2 * common / max(1, len(one.family) + len(other.family))


def softmax_of_nearness(target: Language, others: Sequence[Language], temperature: float = TEMPERATURE) -> list[float]:
    """w_i = softmax(nearness(target, i) / temperature), of sum 1."""
    return softmax([nearness(target, other) for other in others], temperature)


def softmax(near: Sequence[float], temperature: float, top: int | None = None) -> list[float]:
    """w_i = exp(n_i / temperature) / sum over the `top` nearest, of which the first stand for equal ones; else 0."""
    kept = set(sorted(range(len(near)), key=lambda i: -near[i])[:top])
    raised = [math.exp((n - 1) / temperature) if i in kept else 0.0 for i, n in enumerate(near)]
    return [value / sum(raised) for value in raised]
