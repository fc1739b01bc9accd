"""Gradual unfreezing, top down: a layer more is trained every few updates (Liu et al. 2023, "FUN with Fisher", arXiv
2301.05487, section 3; after Howard and Ruder 2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Unfreezing:
    """What is trained is a function of the updates done, so that resuming trains the same."""

    layers: Mapping[int, Sequence[nn.Parameter]]  # by layer; whatever stands in none is trained from the first update
    every: int  # updates

    def __call__(self, done: int) -> None:
        """Freeze and unfreeze for the update after `done` of them: the top 1 + done // every layers are trained."""
        top = sorted(self.layers, reverse=True)[: 1 + done // self.every]
        for layer, parameters in self.layers.items():
            for parameter in parameters:
                parameter.requires_grad_(layer in top)

    def warning(self, steps: int) -> list[str]:
        """Whether some layers never have their turn in so many updates."""
        reached = 1 + (steps - 1) // self.every
        if reached >= len(self.layers):
            return []
        return [f"unfreeze_every = {self.every}: in {steps} updates only the upper {reached} of {len(self.layers)} "
                "layers were trained; lower it, or train for longer"]  # fmt: skip
