"""Stage one: a language adapter, trained with masked language modelling on monolingual text.

Pfeiffer et al. 2020 (MAD-X), section 3.1 and 3.3: bottleneck and invertible adapter; the encoder stays frozen.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from madx import __version__
from madx.config import Frozen, RunError
from madx.device import seed_of
from madx.encoders.compiled import CompiledPass, check_compiler
from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import load_adapter
from madx.formats.card import seal_with_card
from madx.formats.manifest import LM_HEAD
from madx.formats.tensors import save_tensors
from madx.methods.method import Method, Stored
from madx.stages.alignment import AlignedText, Alignment
from madx.stages.distillation import Distillation
from madx.stages.masked_lm import MaskedLm, check_head
from madx.stages.near_frozen import NearFrozen
from madx.stages.session import Session
from madx.stages.taught import Taught
from madx.stages.text import TextStage
from madx.step import AdapterStep, Result
from madx.training.fit import Part, Schedule, Validation, fit


class Share(Frozen):
    """Text of another language, and how much of it there is for one part of the language's own."""

    version: ClassVar[int] = 2  # its tokens are in a corpus softmax too
    text: TextStage
    weight: float


class LanguageStage(AdapterStep):
    stage: ClassVar[str] = "language"
    version: ClassVar[int] = 3  # held-out masks are a block's own
    encoder: EncoderRef
    text: TextStage
    method: Method  # what is trained: a language adapter; or, as a control, every weight
    schedule: Schedule
    batch_tokens: int
    alignment: Alignment | None = None
    softmax: Literal["full", "corpus"] = "full"  # over the vocabulary, or over the tokens that the text has
    mixed_with: tuple[Share, ...] = ()  # other text in the same batches (BAD-X)
    start: AdapterStep | None = None  # whose weights it begins with
    near: float = 0.0  # pull of every weight towards where it began, beside the loss (RegMAD-X)
    kl: float = 0.0  # pull of the predictions towards the encoder's own, beside the loss
    below: tuple[AdapterStep, ...] = ()  # frozen adapters that it is stacked on, as a domain's on the source's
    teacher: AdapterStep | None = None  # a large adapter of the language, which is learnt from too
    distillation: Distillation = Distillation()
    called: str | None = None  # where it isn't the language's adapter
    compiled: bool = False  # the encoder's pass, by torch.compile
    seed: int = 1

    @property
    def subject(self) -> str:
        return self.called or "+".join(text.subject for text, _ in self._texts)

    @property
    def _texts(self) -> list[tuple[TextStage, float]]:
        """Its own text, and what is mixed with it, each with its share."""
        return [(self.text, 1.0), *((share.text, share.weight) for share in self.mixed_with)]

    @property
    def _kind(self) -> str:
        return f"language {self.method.what}"

    def check(self, session: Session) -> None:
        encoder = session.encoder(self.encoder)
        self.method.check(encoder)
        check_head(encoder)
        if self.alignment:
            self.alignment.parallel.pairs()
        if self.compiled:
            check_compiler()

    @property
    def stored(self) -> Stored:
        return self.method.stored

    def attach(self, encoder: Encoder, session: Session) -> str:
        self.method.load(session.folder(self), encoder, self.subject)
        return self.subject

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        with self.method.borrowed(encoder), encoder.lent(*head), encoder.training():
            aligned = AlignedText(self.alignment, encoder, self.subject, session) if self.alignment else None
            below = [adapter.attach(encoder, session) for adapter in self.below]
            parameters = self._attach(encoder, head, session)
            if below:
                self._activate(encoder, below)
            texts = [(session.folder(text), text.corpus, share) for text, share in self._texts]
            text = MaskedLm.of(encoder, texts, self.softmax, self.seed)
            if self.compiled:
                text = replace(text, compiled=CompiledPass(encoder))
            if self.kl:
                text = replace(text, near=NearFrozen(encoder, self.kl, partial(self._activate, encoder, below)))

            if self.teacher is not None:
                again, place = partial(self._activate, encoder, below), session.folder(self.teacher)
                taught = Taught(encoder, place, self.distillation, again)
                text = replace(text, near=taught, share=self.distillation.labels)

            def batch(step: int) -> list[Part]:
                parts = text.parts(step, self.batch_tokens, self.seed)
                targets = sum(part.targets for part in parts)
                return parts + (aligned.parts(step, targets, self.seed) if aligned else [])

            with rounded_once(encoder, parameters.values(), decoder=True):
                result = fit(
                    parameters,
                    self.schedule,
                    batch,
                    session.training(folder, self.seed, f"language adapter {self.subject}"),
                    Validation(text.held_out_loss, at=quarters(self.schedule.steps)),
                    penalty=self._penalty(encoder, parameters),
                )
            self._judge(result)
            self._save(folder, encoder, head, session, result)
        return result

    def _penalty(self, encoder: Encoder, parameters: Mapping[str, nn.Parameter]) -> Callable[[], Tensor | None]:
        """The method's own term; and near * sum (theta - theta_0)^2 over the adapter."""
        if not self.near:
            return partial(self.method.penalty, encoder, self.subject)
        adapter = [p for name, p in parameters.items() if not name.startswith("lm_head.")]
        began = [p.detach().clone() for p in adapter]

        def pull() -> Tensor:
            moved = [((p - p0) ** 2).sum() for p, p0 in zip(adapter, began, strict=True)]
            return self.near * torch.stack(moved).sum()

        return pull

    def _activate(self, encoder: Encoder, below: Sequence[str]) -> None:
        encoder.activate(*below, self.subject)

    def _attach(self, encoder: Encoder, head: list[nn.Parameter], session: Session) -> dict[str, nn.Parameter]:
        """The new language adapter, active, and the masked-LM head's dense and norm: what is trained."""
        seed = seed_of("language adapter", self.subject, self.seed)
        parameters = self.method.attach(encoder, self.subject, seed, session)
        if self.start is not None:
            _, other = load_adapter(session.folder(self.start), encoder, load_as="start")
            encoder.adapters.get(self.subject).load_state_dict(other.state_dict())
        parameters.update({f"lm_head.{i}": parameter for i, parameter in enumerate(head)})
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        return parameters

    def _judge(self, result: Result) -> None:
        """Did it lower the loss on held-out text?"""
        before, after = (result["evaluations"][i]["held_out_loss"] for i in (0, -1))
        result["trained"], result["held_out_before"], result["held_out_after"] = self._kind, before, after
        if self.alignment:
            result["aligned_with"] = self.alignment.toward.subject
        if not math.isfinite(after):
            raise RunError(f"{self.subject}: the held-out loss is not finite; lower language_adapter.learning_rate")
        if after >= before:
            result["warnings"].append(
                f"{self.subject}: the adapter did not lower the held-out loss ({before:.2f} to {after:.2f}); "
                "train longer or give it more text"
            )

    def _save(self, folder: Path, encoder: Encoder, head: list[nn.Parameter], session: Session, result: Result) -> None:
        self.method.save(folder, encoder, self.subject, save_as=self.subject)
        if not self.method.shared:
            return
        if head:
            save_tensors(folder / LM_HEAD, {str(i): parameter for i, parameter in enumerate(head)})
        seal_with_card(folder, self._about(session, result))

    def _about(self, session: Session, result: Result) -> dict[str, Any]:
        corpus = self.text.corpus
        about = {
            "kind": self._kind,
            "language": self.subject,
            "base_model": self.encoder.about,
            "corpus": {
                "sources": [s.model_dump(exclude_none=True) for text, _ in self._texts for s in text.corpus.sources],
                "digests": [digest for text, _ in self._texts for digest in text.corpus.digests],
                **session.result(self.text),
            },
            "hyper_parameters": {
                **self.method.about(),
                **self.schedule.model_dump(),
                "batch_tokens": self.batch_tokens,
                "softmax": self.softmax,
                "block_size": corpus.block_size,
                "near": self.near,
                "kl": self.kl,
                "seed": self.seed,
                **({"compiled": True} if self.compiled else {}),
            },
            "held_out_loss": {"before": result["held_out_before"], "after": result["held_out_after"]},
            "versions": {"madx-adapters": __version__} | {name: version(name) for name in ("torch", "transformers")},
        }
        if self.alignment:
            about["aligned"] = self.alignment.about()
        if self.mixed_with:
            about["mixed_with"] = {share.text.subject: share.weight for share in self.mixed_with}
        if self.teacher:
            about["taught_by"] = {"teacher": self.teacher.name, **self.distillation.model_dump()}
        if self.start:
            about["began_as"] = self.start.subject
        if self.below:
            about["language_adapters"] = [adapter.subject for adapter in self.below]
        return about


def quarters(steps: int) -> list[int]:
    """When it is looked how a training does."""
    return sorted({0, *(steps * i // 4 for i in (1, 2, 3)), steps})
