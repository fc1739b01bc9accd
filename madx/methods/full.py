"""Full fine-tuning: every weight of the encoder, no adapters. The upper bar and the dear one."""

from pathlib import Path
from typing import Literal

from safetensors.torch import load_file
from torch import nn

from madx.config import Frozen
from madx.encoders.encoder import Encoder
from madx.formats.tensors import save_tensors

WEIGHTS = "encoder.safetensors"


class Full(Frozen):
    """Trains the whole encoder."""

    kind: Literal["full"] = "full"

    def changes(self, encoder: Encoder) -> list[nn.Parameter]:
        """The encoder's own parameters that training or loading overwrites."""
        return list(encoder.base.parameters())

    def prepare(self, encoder: Encoder, task: str, seed: int) -> dict[str, nn.Parameter]:
        return {f"encoder.{name}": parameter for name, parameter in encoder.base.named_parameters()}

    def retarget(self, encoder: Encoder, task: str, language: str | None) -> None:
        """Nothing to swap."""

    def save(self, folder: Path, encoder: Encoder, task: str) -> None:
        save_tensors(folder / WEIGHTS, dict(encoder.base.named_parameters()))

    def load(self, folder: Path, encoder: Encoder, task: str) -> None:
        """Overwrites the encoder: wrap in `encoder.lent(...)`, which puts it back."""
        encoder.base.load_state_dict(load_file(folder / WEIGHTS), strict=False)
