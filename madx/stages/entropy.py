"""Entropy minimised ensembles of adapters (EMEA; Wang et al. 2021, arXiv 2109.04877, section 3): for each sentence by
itself, the weights of a mixture go down the gradient of the predictions' mean entropy, w <- w - rate * dH/dw, and are
equal again for the next one.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from madx.adapters.setup import Mix, Stack
from madx.config import Frozen
from madx.encoders.encoder import Encoder


class EntropyMinimisation(Frozen):
    steps: int = Field(1, ge=1, le=1000)
    rate: float = Field(10.0, gt=0)  # the authors'

    def adapt(self, encoder: Encoder, entropy: Callable[[], Tensor]) -> None:
        """Set the weights of the active mixture, if one is, for the sentence whose predictions `entropy` is of."""
        active = encoder.adapters.active
        first = active.children[0] if isinstance(active, Stack) else active
        if not isinstance(first, Mix):
            return
        mixes, count = encoder.adapters.mixes, len(first.children)
        weights = torch.full_like(mixes[first.name], 1 / count)
        for _ in range(self.steps):
            mixes[first.name] = weights.requires_grad_(True)
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(entropy(), weights)
            weights = (weights - self.rate * gradient).detach()
        mixes[first.name] = weights
