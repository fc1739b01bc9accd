"""A language adapter, or a sparse change, that somebody else trained: in stage one's place."""

import shutil
from pathlib import Path
from typing import Annotated, ClassVar

from madx.config import PLACE
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import write_card
from madx.formats.composable_sft import DIFF
from madx.formats.manifest import read_manifest, seal
from madx.methods.loading import LOADED_BY
from madx.methods.method import Stored
from madx.methods.sparse import FILE, from_published
from madx.stages.session import Session
from madx.step import AdapterStep, Result
from madx.writing import fsync_file

CHANGES = (FILE, DIFF)  # by one of which a folder is a sparse change's


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


class ImportedChange(AdapterStep):
    """For `lt-sft`: composable-sft's file, or a change that madx trained."""

    stage: ClassVar[str] = "imported"
    encoder: EncoderRef
    language: str
    folder: Annotated[str, PLACE]
    digest: str  # of the file

    @property
    def subject(self) -> str:
        return self.language

    @property
    def stored(self) -> Stored:
        return "change"

    def attach(self, encoder: Encoder, session: Session) -> str:
        return self._load(session.folder(self), encoder)

    def run(self, folder: Path, session: Session) -> Result:
        there, encoder = Path(self.folder), session.encoder(self.encoder)
        if (there / FILE).exists():
            shutil.copyfile(there / FILE, folder / FILE)
            fsync_file(folder / FILE)
        else:
            from_published(there, folder, encoder)
        with encoder.lent():
            self._load(folder, encoder)  # whether it fits
        return {"imported_from": self.folder, "warnings": []}

    def _load(self, folder: Path, encoder: Encoder) -> str:
        LOADED_BY[self.stored].load(folder, encoder, self.language)
        return self.language
