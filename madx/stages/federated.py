"""Stage one over silos: federated averaging of a language adapter (FedAvg, McMahan et al. 2017, arXiv 1602.05629).

In each round every silo k trains from the shared theta on its own text, with an optimizer of its own, and
theta <- sum_k n_k / n theta_k, with n_k its blocks of text. Out of a silo come theta_k, the adapter and the masked-LM
head's dense and norm, its mean losses, and what `Report` says of its training; n_k is in the record of its packed text.
The silos are trained here, in turn, or by Flower's simulation, in other processes (stages/flower.py): a place, and not
in the step's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, Self, TypedDict, cast

from torch import Tensor, nn

from madx.config import PLACE
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


class Report(TypedDict):
    """Of a silo's training up to the end of a round, as `fit` has it."""

    last_loss: float
    training_seconds: float
    tokens: int
    peak_memory_mb: int
    warnings: list[str]


class Silos(Protocol):
    """Where a round's training is done, silo by silo, in their order."""

    def train(self, shared: Weights, number: int) -> list[tuple[Weights, Report]]:
        """What each makes of the shared weights in round `number`."""

    def held_out_losses(self, shared: Weights) -> list[float]:
        """Of the shared weights, on each silo's own held-out text."""


class Trained(NamedTuple):
    """What all rounds came to; of each silo the last report, and every round's warnings."""

    shared: Weights
    evaluations: list[dict[str, float]]
    reports: list[Report]
    warnings: list[str]


class FederatedStage(LanguageStage):
    """In all but where its text lies the stage that it is: `text` is the first silo's."""

    stage: ClassVar[str] = "federated"
    others: tuple[TextStage, ...]  # the other silos'
    rounds: int  # the schedule's updates are each silo's; after each of so many equal parts of them all are averaged
    flower: Annotated[bool, PLACE] = False  # the silos in other processes, by Flower's simulation

    @classmethod
    def of(cls, alone: LanguageStage, silos: Sequence[TextStage], rounds: int, flower: bool = False) -> Self:
        """A plain stage one, with its text in silos."""
        fields = {name: getattr(alone, name) for name in LanguageStage.model_fields}
        return cls(**{**fields, "text": silos[0]}, others=tuple(silos[1:]), rounds=rounds, flower=flower)

    @property
    def silos(self) -> tuple[TextStage, ...]:
        return (self.text, *self.others)

    def check(self, session: Session) -> None:
        super().check(session)
        if self.flower:
            from madx.stages.flower import check_flower

            check_flower()

    def run(self, folder: Path, session: Session) -> Result:
        with self.at_work(session) as (encoder, parameters):
            rounds = partial(self._rounds, folder, session, parameters)
            if self.flower:
                from madx.stages.flower import simulated

                trained = simulated(self, folder, session, rounds)
            else:
                trained = rounds(InTurn([self.silo(k, encoder, parameters, folder, session) for k in self._numbers]))
            put(parameters, trained.shared)
            result = self._result(trained, session)
            self._judge(result)
            self._save(folder, encoder, list(encoder.lm_head.trainable()), session, result)
            for place in (folder, *(_place(folder, number) for number in self._numbers)):
                drop_checkpoint(place)
        return result

    @contextmanager
    def at_work(self, session: Session) -> Iterator[tuple[Encoder, dict[str, nn.Parameter]]]:
        """The encoder with the adapter as it begins, and what is trained of them."""
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        with self.method.borrowed(encoder), encoder.lent(*head), encoder.training():
            yield encoder, self._attach(encoder, head, session)

    def silo(
        self, number: int, encoder: Encoder, parameters: Mapping[str, nn.Parameter], folder: Path, session: Session
    ) -> Silo:
        """The `number`th, from 1; it trains these parameters."""
        own, place = self.silos[number - 1], _place(folder, number)
        place.mkdir(exist_ok=True)
        text = MaskedLm.of(encoder, [(session.folder(own), own.corpus, 1.0)], self.softmax, self.seed)
        run = session.training(place, self.seed, f"language adapter {self.subject}, silo {number}")
        return Silo(self, text, run, encoder, parameters)

    def until(self, number: int) -> int:
        """Updates of a silo before round `number`."""
        return self.schedule.steps * number // self.rounds

    @property
    def _numbers(self) -> range:
        return range(1, len(self.silos) + 1)

    def _blocks(self, session: Session) -> list[int]:
        return [session.result(silo)["blocks"] for silo in self.silos]

    def _rounds(self, folder: Path, session: Session, parameters: Mapping[str, nn.Parameter], silos: Silos) -> Trained:
        """All of them, or those that are left."""
        blocks = self._blocks(session)
        shares = [n / sum(blocks) for n in blocks]
        begun = {name: value.detach().clone() for name, value in parameters.items()}
        saved, warnings = session.group.same(load_checkpoint(folder))
        state: dict[str, Any] = saved or {"round": 0, "shared": begun, "evaluations": [], "reports": [], "warnings": []}
        state["warnings"] += warnings
        while True:
            number, shared = state["round"], state["shared"]
            if number in quarters(self.rounds):
                losses = silos.held_out_losses(shared)
                loss = sum(share * loss for share, loss in zip(shares, losses, strict=True))
                state["evaluations"].append({"step": self.until(number), "held_out_loss": loss})
            if number == self.rounds:
                return Trained(shared, state["evaluations"], state["reports"], state["warnings"])
            trained = silos.train(shared, number)
            state["shared"] = mean([weights for weights, _ in trained], shares)
            state["reports"] = [report for _, report in trained]
            state["warnings"] += [line for _, report in trained for line in report["warnings"]]
            state["round"] = number + 1
            save_checkpoint(folder, state)

    def _result(self, trained: Trained, session: Session) -> Result:
        last = trained.reports
        return {
            "steps": self.schedule.steps, "rounds": self.rounds, "blocks_of_silos": self._blocks(session),
            "last_losses_of_silos": [report["last_loss"] for report in last],
            "training_seconds": round(sum(report["training_seconds"] for report in last), 2),
            "tokens": sum(report["tokens"] for report in last),
            "peak_memory_mb": max(report["peak_memory_mb"] for report in last),
            "evaluations": trained.evaluations,
            "warnings": list(dict.fromkeys(trained.warnings)),
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

    stage: FederatedStage
    text: MaskedLm
    run: Run
    encoder: Encoder
    parameters: Mapping[str, nn.Parameter]

    def train(self, shared: Weights, number: int) -> tuple[Weights, Report]:
        """What it makes of the shared weights in round `number`."""
        put(self.parameters, shared)
        with rounded_once(self.encoder, self.parameters.values(), decoder=True):
            report = fit(
                self.parameters,
                self.stage.schedule,
                partial(self.text.parts, batch_tokens=self.stage.batch_tokens, seed=self.stage.seed),
                self.run,
                penalty=self.stage._penalty(self.encoder, self.parameters),
                until=self.stage.until(number + 1),
            )
        weights = {name: value.detach().clone() for name, value in self.parameters.items()}
        return weights, cast(Report, {key: report[key] for key in Report.__annotations__})

    def held_out_loss(self, shared: Weights) -> float:
        put(self.parameters, shared)
        return self.text.held_out_loss()["held_out_loss"]


@dataclass(frozen=True)
class InTurn:
    """Here, one after the other, with one encoder."""

    silos: Sequence[Silo]

    def train(self, shared: Weights, number: int) -> list[tuple[Weights, Report]]:
        return [silo.train(shared, number) for silo in self.silos]

    def held_out_losses(self, shared: Weights) -> list[float]:
        return [silo.held_out_loss(shared) for silo in self.silos]


def _place(folder: Path, number: int) -> Path:
    return folder / f"silo-{number}"


def mean(trained: Sequence[Weights], shares: Sequence[float]) -> Weights:
    """sum_k w_k theta_k, in float64."""
    summed = weighted_sum(shares, [{name: value.double() for name, value in weights.items()} for weights in trained])
    return {name: summed[name].to(first.dtype) for name, first in trained[0].items()}
