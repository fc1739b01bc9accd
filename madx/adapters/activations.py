"""Non-linearities by the names that AdapterHub's files use: transformers' ACT2FN, and the peer's `leakyrelu`."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Function(nn.Module):
    """One that torch has no module for."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _gelu_10(x: Tensor) -> Tensor:
    return F.gelu(x).clamp(-10, 10)


def _laplace(x: Tensor) -> Tensor:
    """A normal distribution's function (Ma et al. 2022, arXiv 2209.10655, section 3.2)."""
    return 0.5 * (1 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2))))


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


ACTIVATIONS: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "swish": nn.SiLU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
    "leakyrelu": nn.LeakyReLU(0.01),
    "leaky_relu": nn.LeakyReLU(0.01),
    "sigmoid": nn.Sigmoid(),
    "elu": nn.ELU(),
    "linear": nn.Identity(),
    "gelu_10": _Function(_gelu_10),
    "gelu_accurate": nn.GELU(approximate="tanh"),
    "gelu_fast": nn.GELU(approximate="tanh"),
    "gelu_python": nn.GELU(),
    "laplace": _Function(_laplace),
    "mish": nn.Mish(),
    "quick_gelu": _Function(_quick_gelu),
    "relu2": _Function(_relu2),
    "relu6": nn.ReLU6(),
}


def activation(name: str) -> nn.Module:
    """The non-linearity of that name. Raises ValueError for an unknown one."""
    try:
        return ACTIVATIONS[name.lower()]
    except KeyError:
        raise ValueError(f"unknown non_linearity '{name}'; known: {', '.join(ACTIVATIONS)}") from None
