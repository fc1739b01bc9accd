"""Parts that stand beside a linear layer y = W x + b, which itself stays as it is.

LowRank  (LoRA, Hu et al. 2022, arXiv 2106.09685, eq. 3):   y + (alpha / r) B A x
 with UniPELT's gate (Mao et al. 2022, arXiv 2110.07577):   y + g (alpha / r) B A x,  g = mean_T sigmoid(w x + w0)
Scaled   (IA)^3 (Liu et al. 2022, arXiv 2205.05638, 3.3):   l * y
ScaledInput, the same before the layer:                     W (l * x) + b

Shapes: B batch, T tokens, I inputs, O outputs, R rank.
"""

import math
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Part(Protocol):
    def hook(self, linear: nn.Module) -> RemovableHandle:
        """Stand beside this layer, in front of what else is hooked to it, until the handle is removed."""
        ...


def new_gate(inputs: int) -> nn.Linear:
    gate = nn.Linear(inputs, 1)
    nn.init.normal_(gate.weight, std=0.02)
    nn.init.zeros_(gate.bias)
    return gate


def opened(gate: nn.Module, x_BTI: Tensor) -> Tensor:
    """How far a gate is open for each sequence, (B, 1, 1)."""
    share_B11: Tensor = gate(x_BTI).sigmoid().mean(dim=1, keepdim=True)
    return share_B11


class LowRank(nn.Module):
    """An update of rank r; zero at the start."""

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float, gated: bool = False) -> None:
        """`scale`: alpha / r. `gated`: with a gate over whole sequences, padding included, as the peer's."""
        super().__init__()
        self.gate = new_gate(inputs) if gated else None
        self.scale = scale
        self.a_RI = nn.Parameter(torch.empty(rank, inputs))
        self.b_OR = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a_RI, a=math.sqrt(5))

    def hook(self, linear: nn.Module) -> RemovableHandle:
        return linear.register_forward_hook(self._add, prepend=True)

    def _add(self, _: nn.Module, args: tuple[Any, ...], y_BTO: Tensor) -> Tensor:
        update_BTO = self.scale * F.linear(F.linear(args[0], self.a_RI), self.b_OR)
        return y_BTO + (update_BTO if self.gate is None else update_BTO * opened(self.gate, args[0]))


class Scaled(nn.Module):
    """A factor for each output; one at the start."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.l_O = nn.Parameter(torch.ones(outputs))

    def hook(self, linear: nn.Module) -> RemovableHandle:
        return linear.register_forward_hook(lambda _, args, y_BTO: y_BTO * self.l_O, prepend=True)


class ScaledInput(nn.Module):
    """A factor for each input; one at the start."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.l_I = nn.Parameter(torch.ones(inputs))

    def hook(self, linear: nn.Module) -> RemovableHandle:
        return linear.register_forward_pre_hook(lambda _, args: (args[0] * self.l_I, *args[1:]))
