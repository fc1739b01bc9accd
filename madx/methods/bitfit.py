"""BitFit: the encoder's biases alone are trained (Ben Zaken et al. 2022, arXiv 2106.10199)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.methods.sparse import ChangedWeights, save_change

if TYPE_CHECKING:
    from madx.stages.session import Session


class BitFit(ChangedWeights):
    what: ClassVar[str] = "biases"

    def check(self, encoder: Encoder) -> None:
        if not _biases(encoder):
            raise InputError(f"bitfit: {encoder.ref.name} has no biases; leave the method out")

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        every = {key: torch.arange(bias.numel(), device=bias.device) for key, bias in _biases(encoder).items()}
        return self._trained(encoder, name, dict(every))

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_change(folder, encoder, name)


def _biases(encoder: Encoder) -> dict[str, nn.Parameter]:
    return {key: p for key, p in encoder.base.named_parameters() if key.rsplit(".", 1)[-1] == "bias"}
