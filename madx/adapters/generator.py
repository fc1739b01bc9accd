"""A generator of adapters: one vector that describes a language in, all weights of its adapter out.

MAD-G (Ansell et al. 2021, Findings of EMNLP, section 3): z = V x, lambda = f(z), and each tensor theta = G lambda. With
`layer_shared`, one G serves all layers, and z has a vector of the layer's own beside it (section 3.3).
N values that describe a language, Z width of lambda.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter, site_of

LAMBDA = 32


class Generator(nn.Module):
    """For one shape of adapter, without an invertible part."""

    def __init__(self, adapter: Adapter, described_by: int, layer_shared: bool) -> None:
        super().__init__()
        self.shapes = {name: parameter.shape for name, parameter in adapter.named_parameters()}
        layers = sorted({layer_of(name) for name in self.shapes})
        self.project = nn.Linear(described_by, LAMBDA, bias=False)
        self.layers = nn.Embedding(max(layers) + 1, LAMBDA) if layer_shared else None
        self.mix = nn.Linear(2 * LAMBDA if layer_shared else LAMBDA, LAMBDA)
        self.maps = nn.ParameterDict()
        for name, shape in self.shapes.items():
            if self.key(name) not in self.maps:
                size = math.prod(shape)
                self.maps[self.key(name)] = nn.Parameter(torch.randn(size, LAMBDA) / LAMBDA)

    def key(self, name: str) -> str:
        """Of the map that makes a tensor; torch's containers take no dots."""
        if self.layers is not None:
            place, layer = site_of(name.split(".")[1])
            name = name.replace(f"{name.split('.')[1]}", place, 1)
        return name.replace(".", "/")

    def forward(self, about_N: Tensor) -> dict[str, Tensor]:
        """The adapter's tensors, by name."""
        z = self.project(about_N)
        return {
            name: (self.maps[self.key(name)] @ self._lambda(z, name)).view(shape) for name, shape in self.shapes.items()
        }

    def _lambda(self, z: Tensor, name: str) -> Tensor:
        if self.layers is not None:
            z = torch.cat([z, self.layers.weight[layer_of(name)]])
        value: Tensor = torch.relu(self.mix(z))
        return value


def layer_of(name: str) -> int:
    """Of an adapter's tensor, `bottlenecks.<place>_<layer>.<tensor>`."""
    return site_of(name.split(".")[1])[1]


class Generated:
    """An adapter whose tensors are what a generator gives, so that gradients reach the generator."""

    def __init__(self, adapter: Adapter) -> None:
        self._places = {name: self._place(adapter, name) for name, _ in list(adapter.named_parameters())}
        for module, own in self._places.values():
            del module._parameters[own]

    @staticmethod
    def _place(adapter: Adapter, name: str) -> tuple[nn.Module, str]:
        path, _, own = name.rpartition(".")
        return adapter.get_submodule(path), own

    def put(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            module, own = self._places[name]
            module.__dict__[own] = tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)
