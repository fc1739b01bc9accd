"""Prefix tuning (Li and Liang 2021, arXiv 2101.00190): trained keys and values in front of every layer's own.

P = W2 tanh(W1 e + b1) + b2 of P trained rows e; or P itself is trained (`flat`). Layer i takes slice 2i as keys, 2i + 1
as values. Shapes: P prefix, L layers, H heads, D a head's width, E the encoder's.
"""

import torch
from torch import Tensor, nn


class Prefix(nn.Module):
    """Parameters are named as AdapterHub names them."""

    def __init__(
        self, layers: int, heads: int, head_width: int, width: int, length: int, bottleneck: int | None
    ) -> None:
        """`bottleneck`: of the map that makes the prefix; None: there is none."""
        super().__init__()
        self.shape = (length, 2 * layers, heads, head_width)
        numbers = 2 * layers * heads * head_width
        self.wte = None if bottleneck is None else nn.Embedding(length, width)
        self.control_trans: nn.Parameter | nn.Sequential
        if bottleneck is None:
            self.control_trans = nn.Parameter(torch.randn(length * numbers) * 0.02)
        else:
            self.control_trans = nn.Sequential(nn.Linear(width, bottleneck), nn.Tanh(), nn.Linear(bottleneck, numbers))

    def forward(self) -> Tensor:
        """(2 L, H, P, D)."""
        if isinstance(self.control_trans, nn.Parameter):
            flat = self.control_trans
        else:
            assert self.wte is not None
            flat = self.control_trans(self.wte.weight)
        return flat.view(self.shape).permute(1, 2, 0, 3)
