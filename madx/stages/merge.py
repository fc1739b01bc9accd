"""A language adapter made of others, without training: the weighted mean of their parameters, invertible parts too.

Language arithmetic (Klimaszewski et al. 2024, arXiv 2404.15737) and, for languages without text, merges weighted by
typology (TIPA, arXiv 2601.16629): theta = sum_i w_i theta_i.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch

from madx.catalog.language import Language
from madx.config import Frozen, InputError
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import seal
from madx.stages.session import Session
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

    @property
    def subject(self) -> str:
        return self.language

    @torch.no_grad()
    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        first, merged = load_adapter(session.folder(self.parts[0].adapter), encoder, load_as=self.language)
        total = {key: self.parts[0].weight * tensor for key, tensor in merged.state_dict().items()}
        for part in self.parts[1:]:
            _, other = load_adapter(session.folder(part.adapter), encoder, load_as="other")
            if other.spec != merged.spec:
                raise InputError(
                    f"{self.language}: the adapters of {self.parts[0].adapter.subject} and {part.adapter.subject} have "
                    "other shapes; only equal ones can be merged"
                )
            for key, tensor in other.state_dict().items():
                total[key] = total[key] + part.weight * tensor
        merged.load_state_dict(total)
        save_adapter(folder, encoder, first)
        weights = {part.adapter.subject: round(part.weight, 6) for part in self.parts}
        about = {
            "kind": "language adapter",
            "language": self.language,
            "base_model": self.encoder.model_dump(include={"name", "digest", "revision"}),
            "merged_from": weights,
        }
        seal(folder, about)
        write_card(folder, folder.name)
        return {"merged_from": weights, "warnings": []}


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
    raised = [math.exp((nearness(target, other) - 1) / temperature) for other in others]
    return [value / sum(raised) for value in raised]
