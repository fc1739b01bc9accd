"""Other languages' adapters side by side, for a language without one: their outputs mixed, equally to begin."""

from pathlib import Path
from typing import ClassVar

from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter
from madx.methods.method import Stored
from madx.methods.mixture import Mixture
from madx.stages.session import Session
from madx.step import AdapterStep, Result


class Ensemble(AdapterStep):
    stage: ClassVar[str] = "ensemble"
    encoder: EncoderRef
    language: str
    parts: tuple[AdapterStep, ...]

    @property
    def subject(self) -> str:
        return self.language

    @property
    def stored(self) -> Stored:
        return Mixture.stored

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        names = [f"part {number}" for number in range(len(self.parts))]
        for part, name in zip(self.parts, names, strict=True):
            load_adapter(session.folder(part), encoder, load_as=name)
        Mixture.write(folder, encoder, names)
        return {"mixed": [part.subject for part in self.parts], "warnings": []}

    def attach(self, encoder: Encoder, session: Session) -> str:
        Mixture().load(session.folder(self), encoder, self.subject)
        return self.subject
