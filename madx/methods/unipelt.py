"""UniPELT: a LoRA, a prefix and a bottleneck under gates that are learnt with them (Mao et al. 2022, arXiv 2110.07577).

Each part's update is multiplied by the mean over a sequence of sigmoid(w x + w0), x what enters the part. It is
AdapterHub's `unipelt`, whose folders are written and read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from madx.adapters.beside import LowRank
from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder
from madx.encoders.linears import LinearParts
from madx.encoders.prefixes import PrefixChange, new_prefix
from madx.foreign import read_json_object
from madx.formats.adapterhub import CONFIG
from madx.formats.peer_lora import lora_config
from madx.formats.peer_union import load_peer_union, save_peer_union
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session


class UniPelt(Method):
    what: ClassVar[str] = "UniPELT"
    stored: ClassVar[Stored] = "union"
    rank: int = Field(8, ge=1)
    alpha: float = Field(2.0, gt=0)
    length: int = Field(10, ge=1)
    bottleneck_size: int = Field(512, ge=1)  # of the map that makes the prefix
    reduction_factor: float = Field(16.0, gt=0)

    def check(self, encoder: Encoder) -> None:
        new_prefix(encoder, 1, 1)
        lora_config(encoder, self._lora(encoder), "unipelt")

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        prefix = new_prefix(encoder, self.length, self.bottleneck_size)
        lora, change = self._lora(encoder).to(encoder.device), PrefixChange(encoder, prefix, gated=True)
        encoder.changes[f"{name} lora"], encoder.changes[f"{name} prefix_tuning"] = lora, change.to(encoder.device)
        spec = BottleneckSpec(reduction_factor=self.reduction_factor, use_gating=True)
        adapter = encoder.add(f"{name} bottleneck", spec)
        encoder.setups[name] = Stack(f"{name} prefix_tuning", f"{name} bottleneck", f"{name} lora")
        encoder.activate(name)
        parts = {"lora": lora, "prefix": change, "adapter": adapter}
        return {f"{part}.{key}": p for part, module in parts.items() for key, p in module.named_parameters()}

    def _lora(self, encoder: Encoder) -> LinearParts:
        scale = self.alpha / self.rank
        linears = encoder.linears("query", "value")
        return LinearParts(
            encoder.base,
            {
                path: LowRank(linear.in_features, linear.out_features, self.rank, scale, gated=True)
                for path, linear in linears.items()
            },
        )

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_peer_union(folder, encoder, name, save_as)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        about = read_json_object(folder / CONFIG)
        load_peer_union(folder, encoder, about.get("config") or {}, str(about.get("name")), name)
