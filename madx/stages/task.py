"""Stage two: a task adapter and head, trained on labelled source-language data over frozen language adapters.

Pfeiffer et al. 2020 (MAD-X), section 3.2. Over which adapters, if any, is the method's: see methods/grid.py.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from madx.config import Frozen
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.lower import Lower
from madx.encoders.reference import EncoderRef
from madx.formats.card import write_card
from madx.formats.heads import load_head, save_head
from madx.formats.manifest import seal
from madx.methods.full import Full
from madx.methods.task_adapter import TaskAdapter
from madx.stages.language import ImportedAdapter, LanguageStage, attach_language
from madx.stages.lower_states import LowerStates
from madx.stages.scoring import decode_all, score_examples
from madx.stages.session import Session
from madx.tasks.data import LabelledData
from madx.tasks.examples import Batch, Feature, Tokens, parts_by_length, training_order
from madx.tasks.heads import Head
from madx.training.fit import Micro, Schedule, fit

LanguageAdapter = LanguageStage | ImportedAdapter


class TaskStage(Frozen):
    stage: ClassVar[str] = "task"
    version: int = 1
    encoder: EncoderRef
    train: tuple[LabelledData, ...]  # one per source language
    dev: tuple[LabelledData, ...]
    method: Annotated[TaskAdapter | Full, Field(discriminator="kind")]
    below: tuple[LanguageAdapter, ...] = ()  # frozen language adapters, the sources' first
    cycle: bool = False  # every batch over the next of `below` in turn (TLR); else each over its own language's
    start: LanguageStage | None = None  # full fine-tuning goes on from here
    epochs: int
    batch_size: int
    learning_rate: float
    warm_up: float = 0.05
    max_length: int
    checkpoint: Literal["best", "last"] = "best"
    lower_layers: Literal["run", "kept"] = "run"  # kept: run once for every sentence, without dropout
    seed: int

    @property
    def subject(self) -> str:
        return self.train[0].task.name

    def run(self, folder: Path, session: Session) -> dict[str, Any]:
        encoder = session.encoder(self.encoder)
        with encoder.lent(*self.method.changes(encoder)), encoder.training():
            names = self.attach_below(encoder, session)
            parameters = self.method.prepare(encoder, self.subject, self.seed)
            head = self._new_head(encoder)
            parameters.update({f"head.{name}": p for name, p in head.named_parameters()})
            for parameter in parameters.values():
                parameter.requires_grad_(True)

            tokens = Tokens(encoder.tokenizer, min(self.max_length, encoder.max_length))
            kind, spec = self.train[0].kind, self.train[0].task
            examples = {data.language: data.load() for data in self.train}
            features = {code: kind.features(e, tokens, spec) for code, e in examples.items()}
            dev = [(data, data.load()) for data in self.dev]
            batches = Batches(features, self.batch_size, self.seed)
            lower = self._lower_states(encoder, features, names, folder, session)

            def batch(step: int) -> Sequence[Micro]:
                language, chosen = batches(step)
                over = names[step % len(names)] if self.cycle else (language if language in names else None)
                parts = parts_by_length(chosen, encoder, training=True)
                return [
                    Micro(
                        (over, part, lower[language].of(part) if lower else None),
                        sum(map(kind.targets, part.features)),
                        part.tokens,
                    )
                    for _, part in parts
                ]

            def summed_loss(micro: tuple[str | None, Batch, Lower | None]) -> Tensor:
                over, part, below = micro
                self.retarget(encoder, over)
                states = encoder.hidden(part.ids_BT, part.mask_BT, part.types_BT, kind.read_positions(part), below)
                return kind.summed_loss(head, states, part)  # type: ignore[no-any-return]

            def evaluate() -> dict[str, float]:
                values = []
                with encoder.evaluating():
                    for data, dev_examples in dev:
                        self.retarget(encoder, data.language if data.language in names else None)
                        predicted = decode_all(encoder, head, data, dev_examples, tokens)
                        values.append(score_examples(data, dev_examples, predicted)[0])
                return {"dev": sum(values) / len(values)}

            steps = self.epochs * len(batches)
            result = fit(
                parameters,
                Schedule(steps=steps, learning_rate=self.learning_rate, warm_up=self.warm_up),
                batch=batch,
                summed_loss=summed_loss,
                evaluate=evaluate if dev else None,
                evaluate_at=[len(batches) * epoch for epoch in range(1, self.epochs + 1)],
                keep_best="dev" if self.checkpoint == "best" and dev else None,
                folder=folder,
                seed=self.seed,
                device=session.device,
                trackers=session.trackers,
                watch=lambda done, total, numbers: session.watch(f"task {self.subject}", done, total, numbers),
                chance=_entropy(features),
            )
            for kept in lower.values():
                kept.drop()
            self.method.save(folder, encoder, self.subject)
            save_head(folder, encoder, head, self.subject)
            seal(folder, self._about(result))
            if isinstance(self.method, TaskAdapter):
                write_card(folder, folder.name)
        result["examples"] = {code: len(e) for code, e in examples.items()}
        return result

    def _lower_states(
        self, encoder: Encoder, features: dict[str, list[Feature]], names: list[str], folder: Path, session: Session
    ) -> dict[str, LowerStates]:
        """By source language, what enters the lowest layer that has a task adapter; none if it isn't to be kept."""
        if self.lower_layers == "run" or not isinstance(self.method, TaskAdapter):
            return {}
        left_out = self.method.spec.leave_out
        count = next((i for i in range(encoder.num_layers) if i not in left_out), encoder.num_layers - 1)
        kept = {}
        for language, theirs in features.items():
            self.retarget(encoder, language if language in names else None)
            kept[language] = LowerStates(
                encoder, theirs, count, folder / f"lower-{language}.f32",
                watch=lambda done, total: session.watch(f"lower layers {self.subject}", done, total, {}),
            )  # fmt: skip
        return kept

    def attach_below(self, encoder: Encoder, session: Session) -> list[str]:
        """Load what stands below: the frozen language adapters, or the weights to go on from."""
        if self.start is not None:
            Full().load(session.folder(self.start), encoder, "")
        return [attach_language(adapter, encoder, session) for adapter in self.below]

    def attach(self, encoder: Encoder, session: Session) -> Head:
        """The trained task adapter (or encoder) and head, ready to be retargeted."""
        self.method.load(session.folder(self), encoder, self.subject)
        _, head = load_head(session.folder(self), encoder)
        return head.eval()

    def retarget(self, encoder: Encoder, language: str | None) -> None:
        self.method.retarget(encoder, self.subject, language)

    def _new_head(self, encoder: Encoder) -> Head:
        torch.manual_seed(seed_of("head", self.subject, self.seed))
        spec = self.train[0].kind.head_spec(self.train[0].task)
        return Head(spec, encoder.width).to(encoder.device)

    def _about(self, result: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": "task adapter" if isinstance(self.method, TaskAdapter) else "fine-tuned encoder",
            "task": self.subject,
            "source": [data.language for data in self.train],
            "base_model": {"name": self.encoder.name, "digest": self.encoder.digest, "revision": self.encoder.revision},
            "language_adapters": [adapter.subject for adapter in self.below],
            "hyper_parameters": self.model_dump(
                include={
                    "epochs",
                    "batch_size",
                    "learning_rate",
                    "warm_up",
                    "max_length",
                    "checkpoint",
                    "seed",
                    "cycle",
                    "lower_layers",
                }
            ),
            "dev": result["evaluations"],
        }


class Batches:
    """The batches of all epochs, by number. A batch is of one language; with one source that is no limit."""

    def __init__(self, features: dict[str, list[Feature]], batch_size: int, seed: int) -> None:
        self.features, self.batch_size, self.seed = features, batch_size, seed
        self._epoch: tuple[int, list[tuple[str, list[int]]]] | None = None
        self._length = sum(math.ceil(len(f) / batch_size) for f in features.values())

    def __len__(self) -> int:
        return self._length

    def __call__(self, step: int) -> tuple[str, list[Feature]]:
        epoch, position = divmod(step, len(self))
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        language, chosen = self._epoch[1][position]
        return language, [self.features[language][i] for i in chosen]

    def _order(self, epoch: int) -> list[tuple[str, list[int]]]:
        batches = [
            (language, rows)
            for number, (language, features) in enumerate(self.features.items())
            for rows in training_order(features, self.batch_size, (self.seed, epoch, number))
        ]
        if len(self.features) == 1:
            return batches
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed_of("mix", self.seed, epoch)))
        return [batches[i] for i in order.tolist()]


def _entropy(features: dict[str, list[Feature]]) -> float | None:
    """Nats per target of always guessing the labels' frequencies; None for questions, whose targets are positions."""
    counts: Counter[Any] = Counter()
    for feature in (f for group in features.values() for f in group):
        if isinstance(feature.target, tuple):
            return None
        counts.update(feature.target if isinstance(feature.target, list) else [feature.target])
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())
