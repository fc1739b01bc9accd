"""Prefix tuning: keys and values in front of every layer's are trained (Li and Liang 2021, arXiv 2101.00190)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch import nn

from madx.encoders.encoder import Encoder
from madx.encoders.prefixes import PrefixChange, new_prefix
from madx.foreign import read_json_object
from madx.formats.adapterhub import CONFIG
from madx.formats.peer_prefix import load_peer_prefix, save_peer_prefix
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session


class PrefixTuning(Method):
    what: ClassVar[str] = "prefix"
    stored: ClassVar[Stored] = "prefix"
    length: int = Field(30, ge=1)
    bottleneck_size: int = Field(512, ge=1)

    def check(self, encoder: Encoder) -> None:
        new_prefix(encoder, 1, 1)

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        prefix = new_prefix(encoder, self.length, self.bottleneck_size).to(encoder.device)
        encoder.changes[name] = PrefixChange(encoder, prefix)
        encoder.activate(name)
        return {f"prefix.{key}": parameter for key, parameter in prefix.named_parameters()}

    def sized(self, size: int) -> Method:
        """The width of the map that makes the prefix, which has most of the parameters."""
        return self.model_copy(update={"bottleneck_size": size})

    def count(self, encoder: Encoder) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in new_prefix(encoder, self.length, self.bottleneck_size).parameters())

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_peer_prefix(folder, encoder, name, save_as)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        about = read_json_object(folder / CONFIG)
        load_peer_prefix(folder, encoder, about.get("config") or {}, str(about.get("name")), name)
