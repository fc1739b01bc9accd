"""Masked language modelling on the texts of several languages at once, each update on one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from madx.encoders.encoder import Encoder
from madx.stages.masked_lm import MaskedLm
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.training.fit import Part


@dataclass(frozen=True)
class ManyTexts:
    """By language code. `use(code)` sets the encoder up for a language; it is called before each pass.

    A language is drawn in proportion to its blocks ** alpha: 1 is as the text is, 0 equally.
    """

    texts: dict[str, MaskedLm]
    use: Callable[[str], None]
    alpha: float

    @staticmethod
    def of(
        encoder: Encoder,
        texts: Sequence[TextStage],
        softmax: Literal["full", "corpus"],
        seed: int,
        session: Session,
        use: Callable[[str], None],
        alpha: float,
    ) -> "ManyTexts":
        found = {
            text.subject: MaskedLm.of(encoder, [(session.folder(text), text.corpus, 1.0)], softmax, seed)
            for text in texts
        }
        return ManyTexts(found, use, alpha)

    def language(self, step: int, seed: int) -> str:
        """Of update `step`: a function of its arguments, so that a resumed training draws the same."""
        sizes = np.array([len(text.blocks) for text in self.texts.values()], dtype=np.float64) ** self.alpha
        return str(np.random.default_rng((seed, step)).choice(list(self.texts), p=sizes / sizes.sum()))

    def parts(self, step: int, batch_tokens: int, seed: int) -> list[Part]:
        """The parts of update `step`, all of one language."""
        code = self.language(step, seed)
        parts = self.texts[code].parts(step, batch_tokens, seed)
        return [part._replace(loss=partial(self._loss, code, part.loss)) for part in parts]

    def _loss(self, code: str, loss: Callable[[], Tensor]) -> Tensor:
        self.use(code)
        return loss()

    def held_out_losses(self) -> dict[str, float]:
        """Of each language, in nats, and their mean as `held_out_loss`."""
        losses = {}
        for code, text in self.texts.items():
            self.use(code)
            losses[f"held_out_loss_{code}"] = text.held_out_loss()["held_out_loss"]
        return {"held_out_loss": sum(losses.values()) / len(losses), **losses}
