"""Stage one for several languages at once: what their adapters come from is trained on all their texts together."""

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from torch import nn

from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.encoders.reference import EncoderRef
from madx.formats.tensors import save_tensors
from madx.methods.bottleneck import BottleneckAdapter
from madx.stages.many_texts import ManyTexts
from madx.stages.masked_lm import check_head
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Result, Step
from madx.training.fit import Schedule, Validation, fit

Use = Callable[[str], None]  # sets the encoder up for a language


class JointStage(Step):
    """Masked language modelling, each update on one language's text; a kind of it says what is trained."""

    file: ClassVar[str]  # what is trained is kept in
    encoder: EncoderRef
    texts: tuple[TextStage, ...]
    spec: BottleneckSpec  # of the adapters
    schedule: Schedule
    batch_tokens: int
    softmax: Literal["full", "corpus"] = "full"
    alpha: float = 0.7  # a language is drawn in proportion to its text ** alpha (Ansell et al. 2021, MAD-G)
    seed: int = 1

    @property
    def subject(self) -> str:
        return f"{len(self.texts)}-languages"

    def check(self, session: Session) -> None:
        encoder = session.encoder(self.encoder)
        BottleneckAdapter(spec=self.spec).check(encoder)
        check_head(encoder)

    def attach(self, encoder: Encoder) -> tuple[dict[str, nn.Parameter], Use]:
        """Put what is trained into the encoder: its parameters, and what sets the encoder up for a language."""
        raise NotImplementedError

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        with encoder.lent(*head), encoder.training():
            own, use = self.attach(encoder)
            parameters = own | {f"lm_head.{i}": parameter for i, parameter in enumerate(head)}
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            texts = ManyTexts.of(encoder, self.texts, self.softmax, self.seed, session, use, self.alpha)
            with rounded_once(encoder, parameters.values(), decoder=True):
                result = fit(
                    parameters,
                    self.schedule,
                    lambda step: texts.parts(step, self.batch_tokens, self.seed),
                    session.training(folder, self.seed, f"{self.stage} of {self.subject}"),
                    Validation(texts.held_out_losses, at=[0, self.schedule.steps]),
                )
            save_tensors(folder / self.file, own)
        return result
