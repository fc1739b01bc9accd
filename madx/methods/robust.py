"""AdapterDrop's robust training (Rückle et al. 2021, arXiv 2010.11918, section 3): every pass goes without the task
adapter's modules in the n lowest layers, n drawn uniformly from 0 to the number of layers - 1.

So one adapter answers with any number of its lower layers dropped: what that costs and saves, `madx drop` measures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from madx.encoders.encoder import Encoder
from madx.methods.bottleneck import BottleneckAdapter

if TYPE_CHECKING:
    from madx.stages.session import Session


class RobustAdapter(BottleneckAdapter):
    """An ordinary adapter once it is trained."""

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        parameters = super().attach(encoder, name, seed, session)
        encoder.changes[f"{name}, dropped at random"] = drawn = Drawn(encoder, name)
        drawn.on()
        return parameters


@dataclass
class Drawn:
    """Draws before every pass in training; a change of the encoder, so that it ends with what has put it in."""

    encoder: Encoder
    name: str
    _handle: RemovableHandle | None = field(default=None, init=False)

    def on(self) -> None:
        self._handle = self.encoder.base.register_forward_pre_hook(lambda module, args: self._draw())

    def _draw(self) -> None:
        """torch's generator is set by (seed, step), so that resuming draws the same."""
        training = self.encoder.model.training
        count = int(torch.randint(self.encoder.num_layers, ())) if training else 0
        self.encoder.adapters.dropped[self.name] = count

    def off(self) -> None:
        if self._handle is not None:
            self._handle.remove()
        self.encoder.adapters.dropped.pop(self.name, None)

    def drop(self) -> None:
        self.off()
