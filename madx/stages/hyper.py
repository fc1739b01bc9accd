"""Hyper-X's text beside the labels, and what its network gives for a language: an ordinary adapter."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from madx.config import Frozen
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import save_adapter
from madx.formats.card import seal_with_card
from madx.methods.hyper import HyperX
from madx.stages.many_texts import ManyTexts
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import AdapterStep, Result, Step


class TextsBeside(Frozen):
    """Masked language modelling as a task beside the labels: so many updates on text follow each one on labels."""

    texts: tuple[TextStage, ...]
    updates: int = Field(ge=1)
    batch_tokens: int
    alpha: float
    softmax: Literal["full", "corpus"]

    def load(self, encoder: Encoder, seed: int, session: Session, use: Callable[[str], None]) -> ManyTexts:
        return ManyTexts.of(encoder, self.texts, self.softmax, seed, session, use, self.alpha)


class HyperAdapter(AdapterStep):
    """One language's adapter for the task that a network was trained on."""

    stage: ClassVar[str] = "hyper"
    trained: Step  # a TaskStage with HyperX
    encoder: EncoderRef
    method: HyperX
    language: str

    @property
    def subject(self) -> str:
        return self.language

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        tensors = self.method.generate(session.folder(self.trained), encoder, self.language)
        encoder.add(self.language, self.method.spec).load_state_dict(tensors)
        save_adapter(folder, encoder, self.language)
        about = {
            "kind": "adapter of a task and a language",
            "language": self.language,
            "task": self.trained.subject,
            "base_model": self.encoder.about,
            "generated_from": {"languages": list(self.method.languages)},
        }
        seal_with_card(folder, about)
        return {"warnings": []}
