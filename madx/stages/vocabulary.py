"""Before stage one, for a language that the encoder's tokenizer serves badly: a vocabulary of its own, and its start.

The tokenizer is of the encoder's own kind (its normaliser, its way to cut words, its algorithm), trained anew on the
language's text, the held-out lines left out.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from madx.corpora.characters import Characters
from madx.corpora.prepare import Corpus
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.overlap import static_vectors
from madx.encoders.reference import EncoderRef
from madx.encoders.vocabulary import Vocabulary, begin, check_vocabulary, tokenizer_in
from madx.formats.vocabulary import TOKENIZER, load_vocabulary, save_vocabulary
from madx.stages.session import Session
from madx.step import Result, Step
from madx.writing import write_json

LINES = 1_000_000  # that are trained on; more changes little, and memory grows with them


class VocabularyStage(Step):
    stage: ClassVar[str] = "vocabulary"
    encoder: EncoderRef
    corpus: Corpus  # whose text it is made from
    size: int = Field(ge=100)  # pieces at most, special ones among them
    seed: int = 1
    start: Literal["script", "overlap"] = "script"  # of the embeddings that are no old piece's

    @property
    def subject(self) -> str:
        return self.corpus.language

    def check(self, session: Session) -> None:
        check_vocabulary(session.encoder(self.encoder))

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        self._train(encoder, session).save_pretrained(folder / TOKENIZER)
        _in_order(folder / TOKENIZER / "tokenizer.json")
        tokenizer = tokenizer_in(folder / TOKENIZER)
        seed = seed_of("vocabulary", self.subject, self.seed)
        vectors = self._static_vectors(encoder, tokenizer, seed, session) if self.start == "overlap" else None
        begun = begin(encoder, tokenizer, seed, vectors)
        bias = None if begun.bias_N is None else nn.Parameter(begun.bias_N)
        save_vocabulary(folder, Vocabulary(tokenizer, nn.Parameter(begun.rows_NE), bias))
        load_vocabulary(folder, encoder)  # says what doesn't fit before anything is trained
        about = {
            "pieces": len(begun.rows_NE),
            **{k: getattr(begun, k) for k in ("copied", "of_overlap", "of_script", "of_all")},
        }
        return {**about, "warnings": []}

    def tokenizer(self, session: Session) -> Any:
        """The language's own."""
        return tokenizer_in(session.folder(self) / TOKENIZER)

    def _train(self, encoder: Encoder, session: Session) -> Any:
        texts = ([text] for text in self._texts(encoder, session))
        return encoder.tokenizer.train_new_from_iterator(texts, self.size, show_progress=False)

    def _texts(self, encoder: Encoder, session: Session) -> Iterator[str]:
        return map(Characters(encoder.tokenizer), islice(self.corpus.to_train_on(session.data), LINES))

    def _static_vectors(self, encoder: Encoder, tokenizer: Any, seed: int, session: Session) -> Tensor:
        """Of the pieces, without the special ones, as this text has them."""
        lines = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in self._texts(encoder, session))
        return static_vectors(lines, max(tokenizer.get_vocab().values()) + 1, seed)


def _in_order(path: Path) -> None:
    """No seed decides in which order tokenizers leaves a unigram model's pieces, nor their scores' last digits."""
    about = json.loads(path.read_text(encoding="utf-8"))
    model = about["model"]
    if model["type"] != "Unigram":
        return
    special = {token["content"] for token in about["added_tokens"]}
    first = [[piece, score] for piece, score in model["vocab"] if piece in special]
    rest = [[piece, round(score, 4)] for piece, score in model["vocab"] if piece not in special]
    model["vocab"] = first + sorted(rest, key=lambda one: (-one[1], one[0]))
    write_json(path, about)
