"""Full fine-tuning: every weight of the encoder, no adapters. The upper bar and the dear one."""

from pathlib import Path
from typing import Literal

from safetensors.torch import load_file, save_file
from torch import nn

from madx.config import Frozen
from madx.encoders.encoder import Encoder
from madx.store import fsync_file

WEIGHTS = "encoder.safetensors"


class Full(Frozen):
    """Trains the whole encoder."""

    kind: Literal["full"] = "full"

    def prepare(self, encoder: Encoder, task: str, seed: int) -> dict[str, nn.Parameter]:
        return {f"encoder.{name}": parameter for name, parameter in encoder.base.named_parameters()}

    def retarget(self, encoder: Encoder, task: str, language: str | None) -> None:
        """Nothing to swap."""

    def save(self, folder: Path, encoder: Encoder, task: str) -> None:
        tensors = {name: p.detach().cpu().contiguous() for name, p in encoder.base.named_parameters()}
        save_file(tensors, folder / f".{WEIGHTS}.part")
        fsync_file(folder / f".{WEIGHTS}.part")
        (folder / f".{WEIGHTS}.part").replace(folder / WEIGHTS)

    def load(self, folder: Path, encoder: Encoder, task: str) -> None:
        """Overwrites the encoder: wrap in `encoder.training(...)`, which puts it back."""
        encoder.base.load_state_dict(load_file(folder / WEIGHTS), strict=False)
