"""LoRA and (IA)^3: parts beside the encoder's linear layers, over frozen language adapters or none.

The maths is adapters/beside.py's, the folders are PEFT's (formats/peft.py). PEFT itself isn't asked: its modules would
stand in the layers' places (encoders/linears.py says what that breaks). tests/methods holds the two to one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from madx.adapters.beside import LowRank, Scaled, ScaledInput
from madx.adapters.spec import Matrix
from madx.encoders.encoder import Encoder
from madx.encoders.linears import LinearParts
from madx.formats.peft import load_peft, save_peft
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session


class BesideLinears(Method):
    """What the two have in common: names, and PEFT's folders."""

    stored: ClassVar[Stored] = "beside"

    def parts(self, encoder: Encoder) -> Mapping[str, LowRank | Scaled | ScaledInput]:
        """New ones, by the path of their layer."""
        raise NotImplementedError

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        change = LinearParts(encoder.base, self.parts(encoder)).to(encoder.device)
        encoder.changes[name] = change
        encoder.activate(name)
        return {f"beside.{key}": parameter for key, parameter in change.named_parameters()}

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_peft(folder, encoder, name)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        load_peft(folder, encoder, name)


class Lora(BesideLinears):
    """W x + (alpha / r) B A x (Hu et al. 2022)."""

    what: ClassVar[str] = "LoRA"
    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    matrices: tuple[Matrix, ...] = Field(("query", "value"), min_length=1)

    def parts(self, encoder: Encoder) -> Mapping[str, LowRank | Scaled | ScaledInput]:
        scale = self.alpha / self.rank
        return {
            path: LowRank(linear.in_features, linear.out_features, self.rank, scale)
            for path, linear in encoder.linears(*self.matrices).items()
        }

    def sized(self, size: int) -> Method:
        """The rank; what a part adds is scaled as before."""
        return self.model_copy(update={"rank": size, "alpha": self.alpha * size / self.rank})

    def count(self, encoder: Encoder) -> int:
        linears = encoder.linears(*self.matrices).values()
        return self.rank * sum(linear.in_features + linear.out_features for linear in linears)


class Ia3(BesideLinears):
    """Factors on keys, values and what the feed-forward block's second matrix is given (Liu et al. 2022)."""

    what: ClassVar[str] = "IA3"

    def parts(self, encoder: Encoder) -> Mapping[str, LowRank | Scaled | ScaledInput]:
        out, inner = encoder.linears("key", "value"), encoder.linears("output")
        return {path: Scaled(linear.out_features) for path, linear in out.items()} | {
            path: ScaledInput(linear.in_features) for path, linear in inner.items()
        }
