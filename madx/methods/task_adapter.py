"""A task adapter over frozen language adapters (MAD-X), or over none (task-only).

Pfeiffer et al. 2020, section 3.2; cycling over languages: Parović et al. 2023 (TLR).
"""

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from madx.adapters.spec import BottleneckSpec
from madx.config import Frozen
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter


class TaskAdapter(Frozen):
    """Trains the task adapter; the encoder and the language adapters stay frozen."""

    kind: Literal["task-adapter"] = "task-adapter"
    spec: BottleneckSpec = BottleneckSpec()

    def changes(self, encoder: Encoder) -> list[nn.Parameter]:
        """None of the encoder's own parameters."""
        return []

    def prepare(self, encoder: Encoder, task: str, seed: int) -> dict[str, nn.Parameter]:
        """Attach a new task adapter; its parameters, to be trained."""
        torch.manual_seed(seed_of("task adapter", task, seed))
        adapter = encoder.adapters.add(_in_bank(task), self.spec).to(encoder.device)
        return {f"adapter.{name}": parameter for name, parameter in adapter.named_parameters()}

    def retarget(self, encoder: Encoder, task: str, language: str | None) -> None:
        """Swap the language adapter below the task adapter; None: the task adapter alone."""
        encoder.adapters.activate(*([language] if language else []), _in_bank(task))

    def save(self, folder: Path, encoder: Encoder, task: str) -> None:
        save_adapter(folder, encoder, _in_bank(task), save_as=task)

    def load(self, folder: Path, encoder: Encoder, task: str) -> None:
        load_adapter(folder, encoder, load_as=_in_bank(task))


def _in_bank(task: str) -> str:
    """What a task's adapter is called beside those of languages: `pos` and `ner` are languages too (ISO 639-3)."""
    return f"task {task}"
