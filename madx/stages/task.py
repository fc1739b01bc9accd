"""Stage two: a task adapter and head, trained on labelled source-language data over frozen language adapters.

Pfeiffer et al. 2020 (MAD-X), section 3.2. Over which adapters, if any, is the method's: see pipeline/grid.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.encoders.lower import Lower
from madx.encoders.reference import EncoderRef
from madx.formats.card import write_card
from madx.formats.manifest import seal
from madx.methods.method import Method
from madx.stages.distillation import Distillation
from madx.stages.hyper import TextsBeside
from madx.stages.language import LanguageStage
from madx.stages.lower_states import LowerStates
from madx.stages.masked_lm import check_head
from madx.stages.session import Session
from madx.stages.source_data import Batches, Over, SourceData
from madx.stages.task_model import TaskModel, in_encoder
from madx.step import AdapterStep, Result, Step
from madx.tasks.batches import Batch
from madx.tasks.data import LabelledData
from madx.tasks.kinds import kind_of
from madx.training.fit import Part, Schedule, Validation, first_gradients, fit
from madx.training.unfreezing import Unfreezing


class TaskStage(Step):
    stage: ClassVar[str] = "task"
    encoder: EncoderRef
    train: tuple[LabelledData, ...]  # one per source language
    dev: tuple[LabelledData, ...]
    method: Method  # what is trained, beside the head
    below: tuple[AdapterStep, ...] = ()  # frozen language adapters, the sources' first
    cycle: bool = False  # every batch over the next of `below` in turn (TLR); else each over its own language's
    start: LanguageStage | None = None  # full fine-tuning goes on from here
    epochs: int
    batch_size: int
    learning_rate: float
    warm_up: float = 0.05
    max_length: int
    checkpoint: Literal["best", "last"] = "best"
    beside: TextsBeside | None = None  # masked LM as a task beside, for a method that knows languages by itself
    lower_layers: Literal["run", "kept"] = "run"  # kept: run once for every sentence, without dropout
    average: int = 0  # so many last epochs, whose parameters' mean is kept; 0: `checkpoint` says what is kept
    teacher: "TaskStage | None" = None  # a finished stack over the same adapters, which is learnt from too
    distillation: Distillation = Distillation()
    temperature: float = 1.0  # a source language comes round in proportion to its batches ** (1 / temperature)
    unfreeze_every: int = 0  # updates, after each of which one layer more is trained, top down; 0: all from the first
    seed: int

    @property
    def subject(self) -> str:
        return self.train[0].task.name

    def check(self, session: Session) -> None:
        encoder = session.encoder(self.encoder)
        self.method.check(encoder)
        if self.beside:
            check_head(encoder)
        for data in (*self.train, *self.dev):
            session.check_data(data)

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        with self.method.borrowed(encoder), encoder.training():
            names = self._attach_below(encoder, session)
            over = Over(names, [data.language for data in self.train], self.cycle)
            taught = self._taught(encoder, session)
            parameters, model = self._new(encoder, session)
            data = SourceData(model, self.train, self.dev)
            batches = Batches(data.features, self.batch_size, self.seed, self.temperature)
            texts = self._texts_beside(encoder, session)
            lower = self._lower_states(model, data, over, folder, session)

            def batch(step: int) -> list[Part]:
                number, on_text = divmod(step, self._turn)
                if texts is not None and on_text:
                    return texts(step)
                language, chosen = batches(number)
                below = over.of_batch(step, language)
                return model.update(
                    chosen,
                    lambda part: partial(taught, model, part, below, lower[language].of(part) if lower else None),
                )

            torch.manual_seed(seed_of("first batch", self.subject, self.seed))
            name = in_encoder(self.subject)
            self.method.begin(encoder, name, lambda: first_gradients(parameters, batch(0)))
            epoch = len(batches) * self._turn
            steps = self.epochs * epoch
            unfreezing = self._unfreezing(parameters)
            with rounded_once(encoder, parameters.values()):
                result = fit(
                    parameters,
                    Schedule(steps=steps, learning_rate=self.learning_rate, warm_up=self.warm_up),
                    batch,
                    session.training(folder, self.seed, f"task {self.subject}"),
                    self._validation(data, over, epoch),
                    penalty=partial(self.method.penalty, encoder, name),
                    chance=None if texts else data.chance(),
                    before=unfreezing or (lambda done: None),
                    average_at=[epoch * (self.epochs - number) for number in range(self.average)],
                )
            result["warnings"] += unfreezing.warning(steps) if unfreezing else []
            result["warnings"] += data.calibrate(over)  # of what was kept
            for kept in lower.values():
                kept.drop()
            self._save(folder, model, result)
        return {**result, "examples": data.sizes}

    def trained(self, encoder: Encoder, session: Session, called: str | None = None) -> TaskModel:
        """The model that was trained, to be retargeted: within the method's `borrowed`. `called`: so in the encoder."""
        folder = session.folder(self)
        self.method.load(folder, encoder, called or in_encoder(self.subject))
        _, head = kind_of(self.train[0].task).load_head(folder, encoder)
        return self._model(encoder, head.eval(), called)

    def _taught(self, encoder: Encoder, session: Session) -> Callable[..., Tensor]:
        """The loss of (model, part of a batch, language adapter, lower states): by labels, and by a teacher if any."""
        if self.teacher is None:
            return TaskModel.summed_loss
        teacher = self.teacher.trained(encoder, session, called="teacher")
        distillation = self.distillation

        def loss(model: TaskModel, batch: Batch, language: str | None, lower: Lower | None) -> Tensor:
            return distillation.summed_loss(model, teacher, batch, language, lower)

        return loss

    def _attach_below(self, encoder: Encoder, session: Session) -> list[str]:
        """Load what stands below: the weights to go on from, and the frozen language adapters; their names."""
        if self.start is not None:
            self.start.method.load(session.folder(self.start), encoder, self.start.subject)
        if self.beside:
            return [data.language for data in self.train]
        return [adapter.attach(encoder, session) for adapter in self.below]

    @property
    def _turn(self) -> int:
        """Updates from one on labels to the next."""
        return 1 + (self.beside.updates if self.beside else 0)

    def _texts_beside(self, encoder: Encoder, session: Session) -> Callable[[int], list[Part]] | None:
        """The parts of an update on text."""
        if self.beside is None:
            return None
        use = partial(self.method.read_text, encoder, in_encoder(self.subject))
        texts = self.beside.load(encoder, self.seed, session, use)
        return partial(texts.parts, batch_tokens=self.beside.batch_tokens, seed=self.seed)

    def _new(self, encoder: Encoder, session: Session) -> tuple[dict[str, nn.Parameter], TaskModel]:
        """What is trained: the method's part and the head, with fresh weights."""
        parameters = self.method.attach(
            encoder, in_encoder(self.subject), seed_of("task adapter", self.subject, self.seed), session
        )
        torch.manual_seed(seed_of("head", self.subject, self.seed))
        task = self.train[0].task
        model = self._model(encoder, kind_of(task).head(task, encoder.width))
        parameters.update({f"head.{name}": parameter for name, parameter in model.head.named_parameters()})
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        return parameters, model

    def _model(self, encoder: Encoder, head: nn.Module, called: str | None = None) -> TaskModel:
        return TaskModel(encoder, self.method, self.train[0].task, head, self.max_length, called)

    def _validation(self, data: SourceData, over: Over, epoch: int) -> Validation | None:
        """After every epoch, on the source languages' dev sets: never on the target's."""
        if not data.dev:
            return None
        ends = [epoch * number for number in range(1, self.epochs + 1)]
        return Validation(partial(data.score_dev, over), ends, keep_best="dev" if self.checkpoint == "best" else None)

    def _unfreezing(self, parameters: Mapping[str, nn.Parameter]) -> Unfreezing | None:
        if not self.unfreeze_every:
            return None
        layers: dict[int, list[nn.Parameter]] = {}
        for name, parameter in parameters.items():
            layer = self.method.layer_of(name)
            if layer is not None:
                layers.setdefault(layer, []).append(parameter)
        return Unfreezing(layers, self.unfreeze_every)

    def _lower_states(
        self, model: TaskModel, data: SourceData, over: Over, folder: Path, session: Session
    ) -> Mapping[str, LowerStates]:
        """By source language, what enters the lowest layer in which something is trained; none if it isn't kept."""
        count = self.method.lowest_layer(model.encoder)
        if self.lower_layers == "run" or count == 0:
            return {}
        kept = {}
        for language, features in data.features.items():
            model.retarget(over.of(language))
            kept[language] = LowerStates(
                model.encoder, features, count, folder / f"lower-{language}.f32",
                watch=lambda done, total: session.watch(f"lower layers {self.subject}", done, total, {}),
            )  # fmt: skip
        return kept

    def _save(self, folder: Path, model: TaskModel, result: Result) -> None:
        self.method.save(folder, model.encoder, in_encoder(self.subject), save_as=self.subject)
        model.kind.save_head(folder, model.encoder, model.head, self.subject)
        seal(folder, self._about(result))
        if self.method.shared:
            write_card(folder, folder.name)

    def _about(self, result: Result) -> dict[str, Any]:
        settings = {
            "epochs", "batch_size", "learning_rate", "warm_up", "max_length", "checkpoint", "seed", "cycle",
            "lower_layers",
        }  # fmt: skip
        options = {name for name, value in self.said() if name in ("average", "unfreeze_every", "temperature")}
        taught = {"teacher": self.teacher.name, **self.distillation.model_dump()} if self.teacher else {}
        return {
            "kind": f"task {self.method.what}",
            "task": self.subject,
            "columns": self.train[0].task.columns.model_dump(exclude_none=True),
            "source": [data.language for data in self.train],
            "base_model": self.encoder.about,
            "language_adapters": [adapter.subject for adapter in self.below],
            "hyper_parameters": {**self.method.about(), **self.model_dump(include=settings | options), **taught},
            "dev": result["evaluations"],
        }
