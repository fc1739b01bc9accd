"""A language adapter that somebody else trained: in stage one's place."""

from pathlib import Path
from typing import Annotated, ClassVar

from madx.config import PLACE
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import read_manifest, seal
from madx.stages.session import Session
from madx.step import AdapterStep, Result


class ImportedAdapter(AdapterStep):
    stage: ClassVar[str] = "imported"
    encoder: EncoderRef
    language: str
    origin: Annotated[str, PLACE]  # where its owner published it
    folder: Annotated[str, PLACE]  # where it lies here
    digests: tuple[str, ...]

    @property
    def subject(self) -> str:
        return self.language

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        load_adapter(Path(self.folder), encoder, load_as=self.language)
        save_adapter(folder, encoder, self.language)
        about = {"kind": "language adapter", "base_model": {"name": self.encoder.name}, "imported_from": self.origin}
        seal(folder, {**about, **read_manifest(Path(self.folder)), "language": self.language})
        write_card(folder, self.origin)
        return {"imported_from": self.origin, "warnings": []}
