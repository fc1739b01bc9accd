"""Several adapters that a language is read through at once, the first one's invertible part around them all."""

from pathlib import Path
from typing import ClassVar

from madx.adapters.setup import Stack
from madx.encoders.encoder import Encoder
from madx.stages.session import Session
from madx.step import AdapterStep, Result


class Stacked(AdapterStep):
    stage: ClassVar[str] = "stacked"
    called: str  # as the encoder knows the whole; no part is called so
    parts: tuple[AdapterStep, ...]

    @property
    def subject(self) -> str:
        return self.called

    @property
    def each(self) -> tuple[AdapterStep, ...]:
        return tuple(step for part in self.parts for step in part.each)

    def run(self, folder: Path, session: Session) -> Result:
        return {"parts": [part.name for part in self.parts], "warnings": []}

    def attach(self, encoder: Encoder, session: Session) -> str:
        encoder.setups[self.called] = Stack(*(part.attach(encoder, session) for part in self.parts))
        return self.called
