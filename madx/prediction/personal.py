"""A person's own small adapter, trained on tens of labelled examples on top of a finished stack.

It starts as the identity; language adapter, task adapter and head below stay as they are.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from madx.adapters.spec import BottleneckSpec
from madx.config import InputError, file_digest
from madx.device import seed_of
from madx.formats.adapterhub import save_adapter
from madx.formats.manifest import seal
from madx.prediction.on_top import FILE, OWN, Personal, digest_of, stacked
from madx.prediction.predictor import Predictor
from madx.stages.scoring import score_examples
from madx.stages.source_data import Batches
from madx.tasks.data import LabelledData
from madx.training.fit import Part, Run, Schedule, fit
from madx.writing import new_folder, write_json

BATCH, SEED = 8, 1


def train_personal(
    predictor: Predictor,
    origin: str,
    labels: Path,
    language: str | None,
    to: Path,
    *,
    epochs: int,
    learning_rate: float,
    reduction_factor: float,
) -> Personal:
    """Write the adapter into `to`, a new folder, which prediction takes in the place of `origin`; what is said of it.

    `labels`: a file that the task's own labels could stand in. Raises InputError before any work, RunError after.
    """
    chosen = predictor.chosen
    if chosen.trains != "adapter" or chosen.adapts is not None:
        raise InputError(f"{chosen.note}: a person's own adapter stands on a task's adapter over one language's alone")
    if chosen.own is not None:
        raise InputError(f"{origin}: a person's own adapter already; give what it stands on")
    folders = chosen.folders(language, "--language")
    data = LabelledData(
        task=chosen.task, language=folders.romanised or language or "", has_spaces=True, split="train",
        files=(str(labels),), digests=(file_digest(labels),), romanised=folders.romanised is not None,
    )  # fmt: skip
    examples = data.load()
    model, encoder = predictor.ready(language, "--language"), predictor.encoder
    below = predictor.below(language)
    spec = BottleneckSpec(reduction_factor=reduction_factor, init_weights="mam_adapter")
    torch.manual_seed(seed_of("personal adapter", SEED))
    parameters = {f"adapter.{name}": p for name, p in encoder.add(OWN, spec).named_parameters()}
    model.called = stacked(encoder, model.called)
    model.head.requires_grad_(False)
    model.retarget(below)
    before = score_examples(data, examples, model.predict(examples))[0]
    batches = Batches({"": model.features(examples)}, BATCH, SEED)

    def batch(step: int) -> list[Part]:
        return model.update(batches(step)[1], lambda part: partial(model.summed_loss, part, below))

    with new_folder(to, "--to") as new:
        with encoder.training():
            schedule = Schedule(steps=epochs * len(batches), learning_rate=learning_rate)
            fit(parameters, schedule, batch, Run(new, SEED, encoder.device))
        after = score_examples(data, examples, model.predict(examples))[0]
        about = Personal(
            over=_seen_from(to, origin), task=chosen.task.name, method=chosen.method, seed=chosen.seed,
            digest=digest_of(folders.task), language=language, examples=len(examples), epochs=epochs,
            learning_rate=learning_rate, reduction_factor=reduction_factor, score_before=before, score_after=after,
        )  # fmt: skip
        save_adapter(new, encoder, OWN, save_as="personal")
        write_json(new / FILE, about.model_dump(mode="json"))
        seal(new, {"kind": "personal adapter", "task": chosen.task.name, "base_model": encoder.ref.about})
    return about


def _seen_from(folder: Path, origin: str) -> str:
    """A folder's path from another one, so that both can be moved together; an address as it is."""
    place = Path(origin).expanduser()
    return os.path.relpath(place.resolve(), folder.resolve()) if place.is_dir() else origin
