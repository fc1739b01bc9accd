"""Several adapters that a language is read through at once, its own first (MAD-X squared: language x domain)."""

from pathlib import Path
from typing import ClassVar

from madx.adapters.setup import Stack
from madx.encoders.encoder import Encoder
from madx.stages.session import Session
from madx.step import AdapterStep, Result


class Stacked(AdapterStep):
    stage: ClassVar[str] = "stacked"
    parts: tuple[AdapterStep, ...]

    @property
    def subject(self) -> str:
        """As the encoder knows the whole; its first part has the language's own name."""
        return "+".join(part.subject for part in self.parts)

    def run(self, folder: Path, session: Session) -> Result:
        return {"parts": [part.name for part in self.parts], "warnings": []}

    def attach(self, encoder: Encoder, session: Session) -> str:
        encoder.setups[self.subject] = Stack(*(part.attach(encoder, session) for part in self.parts))
        return self.subject
