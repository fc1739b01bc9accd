"""Language arithmetic with the weight chosen on text: theta = lambda * own + (1 - lambda) * other.

Klimaszewski et al. 2024 (arXiv 2404.15737). Which lambda is best for a task can't be known without the target's labels;
here it is the one with the lowest masked-LM loss on the target's text, on blocks that are not the held-out ones.
"""

from pathlib import Path
from typing import ClassVar

import torch

from madx.corpora.packing import Blocks
from madx.corpora.prepare import TRAIN
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.card import seal_with_card
from madx.stages.masked_lm import held_out_loss
from madx.stages.merge import combined
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import AdapterStep, Result

LAMBDAS = tuple(i / 10 for i in range(11))
BLOCKS = 64  # of the text, that lambda is chosen on


class Arithmetic(AdapterStep):
    stage: ClassVar[str] = "arithmetic"
    encoder: EncoderRef
    own: AdapterStep
    other: AdapterStep
    text: TextStage

    @property
    def subject(self) -> str:
        return self.text.subject

    @torch.no_grad()
    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        _, merged = load_adapter(session.folder(self.own), encoder, load_as=self.subject)
        _, other = load_adapter(session.folder(self.other), encoder, load_as=" other")
        parts = [(self.own.subject, merged), (self.other.subject, other)]
        states = {share: combined(self.subject, parts, [share, 1 - share]) for share in LAMBDAS}
        encoder.activate(self.subject)
        corpus = self.text.corpus
        blocks = Blocks(session.folder(self.text) / TRAIN, corpus.block_size).first(BLOCKS)
        losses = {}
        for share, state in states.items():
            merged.load_state_dict(state)
            losses[share] = held_out_loss(encoder, blocks)["held_out_loss"]
        best = min(losses, key=lambda share: losses[share])
        merged.load_state_dict(states[best])
        save_adapter(folder, encoder, self.subject)
        about = {
            "kind": "language adapter",
            "language": self.subject,
            "base_model": self.encoder.about,
            "merged_from": {self.own.subject: best, self.other.subject: round(1 - best, 6)},
        }
        seal_with_card(folder, about)
        return {
            "lambda": best,
            "losses": {str(share): round(loss, 4) for share, loss in losses.items()},
            "warnings": [],
        }
