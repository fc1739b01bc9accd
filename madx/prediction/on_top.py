"""A person's own adapter on top of a finished stack: its folder, and how it is put there.

The folder holds the adapter alone and says what it stands on, so that many people share one stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from madx.adapters.setup import Stack
from madx.config import Frozen, InputError, digest, validate
from madx.encoders.encoder import Encoder
from madx.foreign import Line, Name, read_json_object
from madx.formats.adapterhub import load_adapter
from madx.formats.manifest import check, file_digests
from madx.prediction.models import Chosen, choose

FILE = "personal.json"
OWN = "the person's own"  # in the encoder
ON_TOP = "task with the person's own"  # both, stacked


class Personal(Frozen):
    """personal.json. Scores are the task's metric in percent on the examples that it was trained on."""

    over: Line  # a folder, seen from this one, or an address
    task: Name
    method: Name | None  # of a run
    seed: int | None
    digest: Line  # of the task's folder there
    language: Name | None  # of the examples
    examples: int
    epochs: int
    learning_rate: float
    reduction_factor: float
    score_before: float
    score_after: float


def digest_of(task_folder: Path) -> str:
    """Of what a task's folder computes with."""
    return digest(file_digests(task_folder))


def read_personal(folder: Path) -> Personal:
    """Raises InputError."""
    return validate(Personal, read_json_object(folder / FILE), str(folder / FILE))


def choose_or_own(
    origin: str, task: str | None, method: str | None, seed: int | None, adapters: Mapping[str, str]
) -> Chosen:
    """What `choose` finds, of a person's folder that on which it stands. Raises InputError."""
    folder = Path(origin).expanduser()
    if not (folder / FILE).exists():
        return choose(origin, task, method, seed, adapters)
    about = read_personal(folder)
    if method is not None or seed is not None or task not in (None, about.task):
        raise InputError(f"{folder}: a person's own adapter: it has one task, method and seed; leave them out")
    check(folder)
    below = folder / about.over
    if (below / FILE).exists():
        raise InputError(f"{folder / FILE}: stands on {about.over}, which is a person's own adapter itself")
    chosen = choose(str(below) if below.is_dir() else about.over, about.task, about.method, about.seed, adapters)
    return chosen._replace(own=folder, note=f"{chosen.note}; on top {folder.name}, of {about.examples} examples")


def put_on_top(encoder: Encoder, task: str, task_folder: Path, own: Path) -> str:
    """Load a person's adapter over the task's, called `task` in the encoder; what the two are called together there.

    Raises InputError where it was trained over another one.
    """
    if read_personal(own).digest != digest_of(task_folder):
        raise InputError(
            f"{own}: was trained on top of another adapter than {task_folder}; train it anew (madx personal)"
        )
    _, adapter = load_adapter(own, encoder, load_as=OWN)
    adapter.requires_grad_(False)
    return stacked(encoder, task)


def stacked(encoder: Encoder, task: str) -> str:
    encoder.setups[ON_TOP] = Stack(task, OWN)
    return ON_TOP
