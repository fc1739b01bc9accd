"""Where and how steps run: the store, the device, the one encoder in memory. Nothing here names a result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from madx.config import RunError, digest
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import EncoderRef
from madx.store import Store


class Step(Protocol):
    """A frozen value that makes a folder. Its fields are its entire input, upstream steps among them."""

    @property
    def stage(self) -> str: ...
    @property
    def subject(self) -> str: ...
    def run(self, folder: Path, session: Session) -> dict[str, Any]: ...


def step_name(step: Step) -> str:
    """`<stage>-<language or task>-<digest>`: the digest covers every field, hence everything upstream."""
    return f"{step.stage}-{step.subject}-{digest(step)}"


@dataclass
class Session:
    store: Store
    device: torch.device
    data: Path | None = None
    trackers: tuple[str, ...] = ()
    watch: Callable[[str, int, int, dict[str, Any]], None] = lambda label, done, total, numbers: None
    _encoder: Encoder | None = field(default=None, init=False)

    def encoder(self, ref: EncoderRef) -> Encoder:
        """The encoder as it was published, without adapters; one is kept in memory."""
        if self._encoder is None or self._encoder.ref != ref:
            self._encoder = None
            self._encoder = load_encoder(ref, self.device)
        self._encoder.clear()
        return self._encoder

    def folder(self, step: Step) -> Path:
        """The folder of a step that has run."""
        name = step_name(step)
        if not self.store.is_done(name):
            raise RunError(f"{name} has not been made yet")
        return self.store.folder(name)

    def result(self, step: Step) -> dict[str, Any]:
        return self.store.result(step_name(step))
