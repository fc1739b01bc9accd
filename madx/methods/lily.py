"""A language adapter whose layers share their projections (adapters/lily.py). No other program knows its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import nn

from madx.adapters.bank import Adapter
from madx.adapters.lily import share_across_layers
from madx.config import InputError, validate
from madx.encoders.encoder import Encoder
from madx.foreign import read_json_object
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Stored
from madx.writing import write_json

if TYPE_CHECKING:
    from madx.stages.session import Session

ABOUT, FILE = "lily.json", "lily.safetensors"


class LilyAdapter(BottleneckAdapter):
    what: ClassVar[str] = "cross-layer adapter"
    stored: ClassVar[Stored] = "lily"
    groups: int = Field(3, ge=1, le=1000)
    experts: int = Field(4, ge=1, le=1000)

    def check(self, encoder: Encoder) -> None:
        super().check(encoder)
        if isinstance(self.spec.reduction_factor, dict):
            raise InputError("an adapter that layers share has one reduction_factor")
        with_adapter = encoder.num_layers - len(self.spec.in_layers(encoder.num_layers).leave_out)
        if self.groups > with_adapter:
            raise InputError(f"lily.groups = {self.groups}: there are {with_adapter} layers with adapters")

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        super().attach(encoder, name, seed, session)
        adapter = self._shared(encoder, name)
        return {f"adapter.{key}": parameter for key, parameter in adapter.named_parameters()}  # each once

    def _shared(self, encoder: Encoder, name: str) -> Adapter:
        adapter = encoder.adapters.get(name)
        share_across_layers(adapter, self.groups, self.experts)
        return adapter.to(encoder.device)

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_tensors(folder / FILE, dict(encoder.adapters.get(name).named_parameters()))
        write_json(folder / ABOUT, self.model_dump(mode="json"))

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        """Shaped as the folder says. Raises InputError."""
        own = validate(LilyAdapter, read_json_object(folder / ABOUT), str(folder / ABOUT))
        own.check(encoder)
        encoder.add(name, own.spec)
        adapter = own._shared(encoder, name)
        tensors, wanted = load_tensors(folder / FILE), dict(adapter.named_parameters())
        for key in tensors.keys() | wanted.keys():
            if key not in tensors or key not in wanted or tensors[key].shape != wanted[key].shape:
                raise InputError(f"{folder / FILE}: '{key}' doesn't fit such an adapter of this encoder")
            wanted[key].data.copy_(tensors[key])
        adapter.requires_grad_(False)
