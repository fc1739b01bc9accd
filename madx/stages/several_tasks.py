"""Stage two for several tasks at once: one network makes the adapters of all (HyperFormer++, Mahabadi et al. 2021).

Every update is on a batch of one task, over the frozen adapter of the batch's language, as in MAD-X's stage two. After
the training each task is handed an ordinary adapter and its head, which are then all that there is of a task anywhere.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter
from madx.adapters.generator import Generated
from madx.adapters.hyperformer import TaskNetwork
from madx.config import Frozen
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.encoders.reference import EncoderRef
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.hyperformer import HyperFormer, Making
from madx.stages.session import Session
from madx.stages.source_data import Batches, Over, SourceData
from madx.stages.task import TaskStage
from madx.stages.task_model import TaskModel, in_encoder
from madx.stages.turns import Turns, shares
from madx.step import AdapterStep, Result, Step
from madx.tasks.data import LabelledData
from madx.tasks.kinds import kind_of
from madx.training.fit import Part, Schedule, Validation, fit

FILE = "network.safetensors"


class OneOfTasks(Frozen):
    """What is a task's own."""

    train: tuple[LabelledData, ...]  # one per source language
    dev: tuple[LabelledData, ...]
    batch_size: int
    max_length: int

    @property
    def name(self) -> str:
        return self.train[0].task.name


class TasksStage(Step):
    stage: ClassVar[str] = "tasks"
    encoder: EncoderRef
    tasks: tuple[OneOfTasks, ...]
    method: HyperFormer
    below: tuple[AdapterStep, ...]  # frozen language adapters, the sources'
    temperature: float  # a task comes round in proportion to its batches ** (1 / temperature)
    source_temperature: float = 1.0  # and within a task a source language
    epochs: int  # with as many batches as all tasks' examples fill
    learning_rate: float
    warm_up: float
    checkpoint: Literal["best", "last"]
    average: int = 0
    seed: int

    @property
    def subject(self) -> str:
        return self.tasks[0].name if len(self.tasks) == 1 else f"{len(self.tasks)}-tasks"

    def check(self, session: Session) -> None:
        self.method.check(session.encoder(self.encoder))
        for task in self.tasks:
            for data in (*task.train, *task.dev):
                session.check_data(data)

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        with encoder.lent(), encoder.training():
            below = [adapter.attach(encoder, session) for adapter in self.below]
            network, models = self._new(encoder)
            parameters = _parameters(network, models)
            learners = [self._learner(*of, below) for of in zip(self.tasks, models, strict=True)]
            turns = Turns(shares([len(learner.batches) for learner in learners], self.temperature), self.seed)

            def batch(step: int) -> list[Part]:
                number, turn = turns(step)
                return learners[number].update(turn)

            epoch = len(turns)
            with rounded_once(encoder, parameters.values()):
                result = fit(
                    parameters,
                    Schedule(steps=self.epochs * epoch, learning_rate=self.learning_rate, warm_up=self.warm_up),
                    batch,
                    session.training(folder, self.seed, f"tasks {', '.join(task.name for task in self.tasks)}"),
                    self._validation(learners, epoch),
                    average_at=[epoch * (self.epochs - number) for number in range(self.average)],
                )
            for learner in learners:
                result["warnings"] += learner.data.calibrate(learner.over)  # of what was kept
            save_tensors(folder / FILE, dict(network.named_parameters()))
            for task, model in zip(self.tasks, models, strict=True):
                model.kind.save_head(folder / task.name, encoder, model.head, task.name)
        return {
            **result,
            "examples": {t.name: learner.data.sizes for t, learner in zip(self.tasks, learners, strict=True)},
        }

    def _new(self, encoder: Encoder) -> tuple[TaskNetwork, list[TaskModel]]:
        """The network and each task's model, with fresh weights."""
        names = [task.name for task in self.tasks]
        adapters = [encoder.add(in_encoder(name), self.method.spec) for name in names]
        torch.manual_seed(seed_of("network of tasks", self.seed))
        network = self._network(adapters[0]).to(encoder.device)
        models = []
        for number, (task, adapter) in enumerate(zip(self.tasks, adapters, strict=True)):
            spec = task.train[0].task
            torch.manual_seed(seed_of("head", task.name, self.seed))
            head = kind_of(spec).head(spec, encoder.width)
            making = Making(network, Generated(adapter), number, self.method)
            models.append(TaskModel(encoder, making, spec, head, task.max_length))
        return network, models

    def _network(self, adapter: Adapter) -> TaskNetwork:
        return TaskNetwork(adapter, len(self.tasks))

    def _learner(self, task: OneOfTasks, model: TaskModel, below: list[str]) -> Learner:
        data = SourceData(model, task.train, task.dev)
        over = Over(below, [data.language for data in task.train], cycle=False)
        batches = Batches(data.features, task.batch_size, self.seed, self.source_temperature)
        return Learner(task.name, model, data, over, batches)

    def _validation(self, learners: list[Learner], epoch: int) -> Validation | None:
        """After every epoch, the mean over the tasks that have a dev set: the best is the best for all of them."""
        judged = [learner for learner in learners if learner.data.dev]
        if not judged:
            return None

        def score() -> dict[str, float]:
            found = {f"dev_{learner.name}": learner.data.score_dev(learner.over)["dev"] for learner in judged}
            return {"dev": sum(found.values()) / len(found), **found}

        ends = [epoch * number for number in range(1, self.epochs + 1)]
        return Validation(score, ends, keep_best="dev" if self.checkpoint == "best" else None)

    def made(self, task: str, encoder: Encoder, session: Session) -> dict[str, Tensor]:
        """The tensors of a task's adapter, out of the network that was trained."""
        shape = Adapter(self.method.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        network = self._network(shape)
        network.load_state_dict(load_tensors(session.folder(self) / FILE))
        with torch.no_grad():
            return network([one.name for one in self.tasks].index(task))  # type: ignore[no-any-return]


class Learner(NamedTuple):
    """A task while it is trained."""

    name: str
    model: TaskModel
    data: SourceData
    over: Over
    batches: Batches

    def update(self, turn: int) -> list[Part]:
        language, chosen = self.batches(turn)
        return self.model.update(chosen, lambda part: partial(self.model.summed_loss, part, self.over.of(language)))


def _parameters(network: TaskNetwork, models: list[TaskModel]) -> dict[str, nn.Parameter]:
    """All that is trained."""
    found = {f"network.{name}": parameter for name, parameter in network.named_parameters()}
    for model in models:
        found |= {f"head.{model.task.name}.{name}": parameter for name, parameter in model.head.named_parameters()}
    for parameter in found.values():
        parameter.requires_grad_(True)
    return found


class HandedOut(TaskStage):
    """One task's part of a joint training: in all but how its weights came about the task stage that it would be."""

    stage: ClassVar[str] = "handed"
    joint: TasksStage

    @classmethod
    def of(cls, alone: TaskStage, joint: TasksStage) -> Self:
        return cls(**{name: getattr(alone, name) for name in TaskStage.model_fields}, joint=joint)

    def run(self, folder: Path, session: Session) -> Result:
        encoder, name = session.encoder(self.encoder), in_encoder(self.subject)
        with encoder.lent():
            encoder.add(name, self.joint.method.spec).load_state_dict(self.joint.made(self.subject, encoder, session))
            _, head = kind_of(self.train[0].task).load_head(session.folder(self.joint) / self.subject, encoder)
            result = {"evaluations": self._kept(session.result(self.joint)), "warnings": []}
            self._save(folder, self._model(encoder, head), result)
        return result

    def _kept(self, joint: Result) -> list[dict[str, float]]:
        """What the checkpoint that was kept has on the task's dev sets; an average's comes last."""
        key, best = f"dev_{self.subject}", joint["best_step"]
        judged = [entry for entry in joint["evaluations"] if key in entry and best in (None, entry["step"])]
        return [{"step": entry["step"], "dev": entry[key]} for entry in judged[-1:]]

    def _about(self, result: Result) -> dict[str, Any]:
        return {**super()._about(result), "generated_from": {"tasks": [task.name for task in self.joint.tasks]}}
