"""AdapterFusion (Pfeiffer et al. 2021, arXiv 2005.00247): attention over finished adapters' updates is trained.

They stay as they are. The maths is adapters/fusion.py's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from madx.adapters.fusion import FusionLayer, FusionSpec
from madx.adapters.setup import Fuse
from madx.encoders.encoder import Encoder
from madx.foreign import checked_name, inside, read_json_object
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.formats.fusion import FUSION_CONFIG, load_fusion, save_fusion
from madx.methods.method import Method, Stored
from madx.step import Step

if TYPE_CHECKING:
    from madx.stages.session import Session

HELD = 0.01  # how strongly value matrices are held near the identity; the peer's


class FusedAdapters(Method):
    """Trains a fusion of the adapters of these steps, each a task's or a language's."""

    what: ClassVar[str] = "fusion"
    stored: ClassVar[Stored] = "fusion"
    over: tuple[Step, ...] = ()

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        for number, step in enumerate(self.over):
            load_adapter(session.folder(step), encoder, load_as=f"{name} {number}")
        fused = [f"{name} {number}" for number in range(len(self.over))]
        torch.manual_seed(seed)
        fusion = encoder.adapters.add_fusion(name, FusionSpec(), *fused).to(encoder.device)
        self._activate(encoder, name, fused)
        return {f"fusion.{key}": parameter for key, parameter in fusion.named_parameters()}

    def _activate(self, encoder: Encoder, name: str, fused: list[str]) -> None:
        for one in fused:
            encoder.adapters.get(one).requires_grad_(False)
        encoder.setups[name] = Fuse(*fused, name=name)
        encoder.activate(name)

    def penalty(self, encoder: Encoder, name: str) -> Tensor | None:
        """0.01 ||I - W_v||^2, of every fusion layer."""
        fusion = encoder.adapters.fusion(name)
        assert fusion is not None
        apart = []
        for layer in fusion.layers.values():
            assert isinstance(layer, FusionLayer)
            assert layer.value is not None
            weight = layer.value.weight
            apart.append((torch.eye(len(weight), device=weight.device) - weight).square().sum())
        return HELD * torch.stack(apart).sum()

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        """The fusion, and a copy of each adapter in a folder of its name beside: nothing else is needed to answer."""
        fuse = encoder.setups[name]
        assert isinstance(fuse, Fuse)
        save_fusion(folder, encoder, fuse)
        for child in fuse.children:
            assert isinstance(child, str)
            save_adapter(folder / child, encoder, child)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        path = folder / FUSION_CONFIG
        names = read_json_object(path).get("adapter_names")
        fused = [checked_name(one, path) for one in names] if isinstance(names, list) else []
        for one in fused:
            load_adapter(inside(folder, folder / one), encoder, load_as=one)
        loaded = encoder.adapters.fusion(load_fusion(folder, encoder))
        assert loaded is not None
        loaded.requires_grad_(False)
        self._activate(encoder, name, fused)

    def about(self) -> dict[str, Any]:
        return {"over": [step.name for step in self.over]}
