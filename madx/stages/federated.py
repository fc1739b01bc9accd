"""Stage one over silos: federated averaging of a language adapter (FedAvg, McMahan et al. 2017, arXiv 1602.05629).

In each round every silo k trains from the shared theta on its own text, with an optimizer of its own, and
theta <- sum_k n_k / n theta_k, with n_k its blocks of text. Out of a silo come theta_k, the adapter and the masked-LM
head's dense and norm, and three numbers: n_k and its mean losses. Here the silos are trained in turn, in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.stages.language import LanguageStage, quarters
from madx.stages.masked_lm import MaskedLm
from madx.stages.merge import weighted_sum
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import Result
from madx.training.checkpoint import drop_checkpoint, load_checkpoint, save_checkpoint
from madx.training.fit import Run, fit, put

Weights = dict[str, Tensor]


class FederatedStage(LanguageStage):
    """In all but where its text lies the stage that it is: `text` is the first silo's."""

    stage: ClassVar[str] = "federated"
    others: tuple[TextStage, ...]  # the other silos'
    rounds: int  # the schedule's updates are each silo's; after each of so many equal parts of them all are averaged

    @classmethod
    def of(cls, alone: LanguageStage, silos: Sequence[TextStage], rounds: int) -> Self:
        """A plain stage one, with its text in silos."""
        fields = {name: getattr(alone, name) for name in LanguageStage.model_fields}
        return cls(**{**fields, "text": silos[0]}, others=tuple(silos[1:]), rounds=rounds)

    @property
    def silos(self) -> tuple[TextStage, ...]:
        return (self.text, *self.others)

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        with self.method.borrowed(encoder), encoder.lent(*head), encoder.training():
            parameters = self._attach(encoder, head, session)
            silos = [self._silo(number, encoder, folder, session) for number in range(1, len(self.silos) + 1)]
            shares = [silo.blocks / sum(silo.blocks for silo in silos) for silo in silos]
            shared, began, evaluations = self._resumed(folder, parameters)
            for number in range(began, self.rounds + 1):
                if number in quarters(self.rounds):
                    put(parameters, shared)
                    loss = sum(w * silo.held_out_loss() for w, silo in zip(shares, silos, strict=True))
                    evaluations.append({"step": self._until(number), "held_out_loss": loss})
                if number < self.rounds:
                    trained = [self._train(silo, shared, parameters, number, encoder) for silo in silos]
                    shared = mean(trained, shares)
                    state = {"round": number + 1, "shared": shared, "evaluations": evaluations}
                    save_checkpoint(folder, state)
            result = self._result(silos, evaluations)
            self._judge(result)
            self._save(folder, encoder, head, session, result)
            for place in (folder, *(silo.run.folder for silo in silos)):
                drop_checkpoint(place)
        return result

    def _silo(self, number: int, encoder: Encoder, folder: Path, session: Session) -> Silo:
        own = self.silos[number - 1]
        place = folder / f"silo-{number}"
        place.mkdir(exist_ok=True)
        return Silo(
            MaskedLm.of(encoder, [(session.folder(own), own.corpus, 1.0)], self.softmax, self.seed),
            session.training(place, self.seed, f"language adapter {self.subject}, silo {number}"),
            session.result(own)["blocks"],
        )

    def _until(self, number: int) -> int:
        """Updates of a silo before round `number`."""
        return self.schedule.steps * number // self.rounds

    def _train(
        self, silo: Silo, shared: Weights, parameters: Mapping[str, nn.Parameter], number: int, encoder: Encoder
    ) -> Weights:
        """What a silo makes of the shared weights in a round."""
        put(parameters, shared)
        with rounded_once(encoder, parameters.values(), decoder=True):
            report = fit(
                parameters,
                self.schedule,
                partial(silo.text.parts, batch_tokens=self.batch_tokens, seed=self.seed),
                silo.run,
                penalty=self._penalty(encoder, parameters),
                until=self._until(number + 1),
            )
        silo.said.append(report)
        return {name: value.detach().clone() for name, value in parameters.items()}

    def _resumed(
        self, folder: Path, parameters: Mapping[str, nn.Parameter]
    ) -> tuple[Weights, int, list[dict[str, float]]]:
        """The shared weights, the rounds that made them, and what was found of them; at first those attached."""
        saved, _ = load_checkpoint(folder)
        if saved is None:
            return {name: value.detach().clone() for name, value in parameters.items()}, 0, []
        return saved["shared"], saved["round"], saved["evaluations"]

    def _result(self, silos: Sequence[Silo], evaluations: list[dict[str, float]]) -> Result:
        last = [silo.said[-1] for silo in silos]
        return {
            "steps": self.schedule.steps, "rounds": self.rounds, "blocks_of_silos": [silo.blocks for silo in silos],
            "last_losses_of_silos": [report["last_loss"] for report in last],
            "training_seconds": round(sum(report["training_seconds"] for report in last), 2),
            "tokens": sum(report["tokens"] for report in last),
            "peak_memory_mb": max(report["peak_memory_mb"] for report in last),
            "evaluations": evaluations,
            "warnings": list(dict.fromkeys(line for silo in silos for said in silo.said for line in said["warnings"])),
        }  # fmt: skip

    def _about(self, session: Session, result: Result) -> dict[str, Any]:
        about = super()._about(session, result)
        sources = [source for silo in self.silos for source in silo.corpus.sources]
        about["corpus"] = {
            "sources": [source.model_dump(exclude_none=True) for source in sources],
            "digests": [digest for silo in self.silos for digest in silo.corpus.digests],
            "tokens": sum(session.result(silo)["tokens"] for silo in self.silos),
        }
        about["federated"] = {"rounds": self.rounds, "blocks_of_silos": result["blocks_of_silos"]}
        return about


@dataclass(frozen=True)
class Silo:
    """`run` has a folder of its own, where its optimizer's state lies from round to round."""

    text: MaskedLm
    run: Run
    blocks: int
    said: list[dict[str, Any]] = field(default_factory=list)  # what was reported of its rounds

    def held_out_loss(self) -> float:
        return self.text.held_out_loss()["held_out_loss"]


def mean(trained: Sequence[Weights], shares: Sequence[float]) -> Weights:
    """sum_k w_k theta_k, in float64."""
    summed = weighted_sum(shares, [{name: value.double() for name, value in weights.items()} for weights in trained])
    return {name: summed[name].to(first.dtype) for name, first in trained[0].items()}
