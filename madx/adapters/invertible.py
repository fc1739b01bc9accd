"""Invertible adapters over the embeddings: NICE (Dinh et al. 2015) and GLOW's affine coupling (Kingma et al. 2018).

x = [x1 | x2], split in the middle of the feature axis. NICE, as in MAD-X (Pfeiffer et al. 2020, eq. 4 and 5):
    forward  y1 = x1 + F(x2);  y2 = x2 + G(y1)          inverse  x2 = y2 - G(y1);  x1 = y1 - F(x2)
Affine:  y1 = x1 * s(x2) + t(x2), with s = sigmoid(. + 2): never zero, near one where the network says nothing.
The peer's GLOW slices the token axis and cannot run; its tensors load here and compute what the paper means.
"""

import torch
from torch import Tensor, nn

from madx.adapters.activations import activation
from madx.adapters.spec import InvertibleSpec


def _coupling(inputs: int, outputs: int, reduction_factor: float, non_linearity: str) -> nn.Sequential:
    hidden = max(1, int(inputs // reduction_factor))
    network = nn.Sequential(nn.Linear(inputs, hidden), activation(non_linearity), nn.Linear(hidden, outputs))
    for linear in (network[0], network[2]):
        nn.init.normal_(linear.weight, std=0.02)  # type: ignore[arg-type]
        nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
    return network


class Nice(nn.Module):
    """Additive couplings; shape in, shape out: (..., D)."""

    def __init__(self, width: int, reduction_factor: float, non_linearity: str) -> None:
        super().__init__()
        self.first = width // 2
        second = width - self.first
        self.F = _coupling(second, self.first, reduction_factor, non_linearity)
        self.G = _coupling(self.first, second, reduction_factor, non_linearity)

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x[..., : self.first], x[..., self.first :]
        y1 = x1 + self.F(x2)
        return torch.cat([y1, x2 + self.G(y1)], dim=-1)

    def inverse(self, y: Tensor) -> Tensor:
        y1, y2 = y[..., : self.first], y[..., self.first :]
        x2 = y2 - self.G(y1)
        return torch.cat([y1 - self.F(x2), x2], dim=-1)


class Glow(nn.Module):
    """Affine couplings; shape in, shape out: (..., D)."""

    def __init__(self, width: int, reduction_factor: float, non_linearity: str) -> None:
        super().__init__()
        self.first = width // 2
        second = width - self.first
        self.s1 = _coupling(self.first, 2 * second, reduction_factor, non_linearity)
        self.s2 = _coupling(second, 2 * self.first, reduction_factor, non_linearity)

    @staticmethod
    def _scale_shift(parameters: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = parameters.chunk(2, dim=-1)
        return torch.sigmoid(scale + 2), shift

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x[..., : self.first], x[..., self.first :]
        scale, shift = self._scale_shift(self.s2(x2))
        y1 = x1 * scale + shift
        scale, shift = self._scale_shift(self.s1(y1))
        return torch.cat([y1, x2 * scale + shift], dim=-1)

    def inverse(self, y: Tensor) -> Tensor:
        y1, y2 = y[..., : self.first], y[..., self.first :]
        scale, shift = self._scale_shift(self.s1(y1))
        x2 = (y2 - shift) / scale
        scale, shift = self._scale_shift(self.s2(x2))
        return torch.cat([(y1 - shift) / scale, x2], dim=-1)


def build_invertible(spec: InvertibleSpec, width: int, non_linearity: str) -> Nice | Glow:
    kind = Nice if spec.kind == "nice" else Glow
    return kind(width, spec.reduction_factor, non_linearity)
