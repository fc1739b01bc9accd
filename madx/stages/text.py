"""Before stage one: a language's text, cleaned and packed for an encoder."""

from pathlib import Path
from typing import ClassVar

from madx.corpora.prepare import Corpus
from madx.encoders.reference import EncoderRef
from madx.stages.session import Session
from madx.stages.vocabulary import VocabularyStage
from madx.step import Result, Step


class TextStage(Step):
    stage: ClassVar[str] = "text"
    encoder: EncoderRef
    corpus: Corpus
    vocabulary: VocabularyStage | None = None  # whose tokenizer it is written with; None: the encoder's

    @property
    def subject(self) -> str:
        return self.corpus.language

    def run(self, folder: Path, session: Session) -> Result:
        own = self.vocabulary
        tokenizer = session.encoder(self.encoder).tokenizer if own is None else own.tokenizer(session)
        return self.corpus.prepare(
            folder, tokenizer, session.data, lambda done, total: session.watch(f"text {self.subject}", done, total, {})
        )
