"""Full fine-tuning: every weight of the encoder, no adapters. The upper bar and the dear one."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session

WEIGHTS = "encoder.safetensors"


class Full(Method):
    """Trains the whole encoder: on labels in stage two, or with masked language modelling in stage one's place."""

    what: ClassVar[str] = "encoder"
    stored: ClassVar[Stored] = "encoder"

    def borrowed(self, encoder: Encoder) -> AbstractContextManager[None]:
        return encoder.lent(*encoder.base.parameters())

    def attach(self, encoder: Encoder, name: str, seed: int, session: "Session") -> dict[str, nn.Parameter]:
        return {f"encoder.{key}": parameter for key, parameter in encoder.base.named_parameters()}

    def retarget(self, encoder: Encoder, name: str, language: str | None) -> None:
        """Nothing to swap."""

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_tensors(folder / WEIGHTS, dict(encoder.base.named_parameters()))

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        """Overwrites the encoder's weights: within `borrowed`, which puts them back."""
        parameters = dict(encoder.base.named_parameters())
        tensors = load_tensors(folder / WEIGHTS)
        for key in parameters.keys() ^ tensors.keys():
            raise InputError(f"{folder / WEIGHTS}: '{key}' is not in both the file and the encoder")
        for key, parameter in parameters.items():
            if tensors[key].shape != parameter.shape:
                raise InputError(f"{folder / WEIGHTS}: '{key}' has shape {tuple(tensors[key].shape)}")
            parameter.data.copy_(tensors[key])
