"""A language adapter that is trained together with a vocabulary of the language's own, and swapped with it.

Pfeiffer et al. 2021 ("UNKs Everywhere", arXiv 2012.15562). The vocabulary is encoders/vocabulary.py's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from madx.adapters.setup import Stack
from madx.encoders.encoder import Encoder
from madx.encoders.vocabulary import Vocabulary, VocabularyChange, check_vocabulary
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.vocabulary import load_vocabulary, save_vocabulary
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Stored
from madx.step import Step

if TYPE_CHECKING:
    from madx.stages.session import Session

ADAPTER = "adapter"  # the folder of the adapter, inside of the whole's


class VocabularyAdapter(BottleneckAdapter):
    """What it puts into the encoder under its name is a stack: the change of vocabulary, and the adapter."""

    what: ClassVar[str] = "adapter with a vocabulary"
    stored: ClassVar[Stored] = "vocabulary"
    begins_as: Step | None = None  # a VocabularyStage; None: it is only loaded

    def check(self, encoder: Encoder) -> None:
        super().check(encoder)
        check_vocabulary(encoder)

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        assert self.begins_as is not None
        vocabulary = load_vocabulary(session.folder(self.begins_as), encoder)
        parameters = super().attach(encoder, _adapter(name), seed, session)
        _put(encoder, name, vocabulary)
        encoder.activate(name)
        return parameters | {f"vocabulary.{key}": p for key, p in vocabulary.parameters().items()}

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        change = encoder.changes[_vocabulary(name)]
        assert isinstance(change, VocabularyChange)
        save_vocabulary(folder, change.vocabulary)
        save_adapter(folder / ADAPTER, encoder, _adapter(name), save_as=save_as)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        vocabulary = load_vocabulary(folder, encoder)
        _, adapter = load_adapter(folder / ADAPTER, encoder, load_as=_adapter(name))
        adapter.requires_grad_(False)
        _put(encoder, name, vocabulary)

    def about(self) -> dict[str, Any]:
        return {"spec": self.spec.model_dump(mode="json")}


def _put(encoder: Encoder, name: str, vocabulary: Vocabulary) -> None:
    encoder.changes[_vocabulary(name)] = VocabularyChange(encoder, vocabulary)
    encoder.setups[name] = Stack(_vocabulary(name), _adapter(name))


def _vocabulary(name: str) -> str:
    return f"{name}, its vocabulary"


def _adapter(name: str) -> str:
    return f"{name}, its adapter"
