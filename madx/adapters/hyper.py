"""Hyper-X (Üstün et al. 2022, arXiv 2205.12148): an adapter for every task and language at once, out of one network.

h = ReLU(W [t; l; k] + b),   theta = G h

with learned vectors t of the task, l of the language and k of the layer; each tensor of an adapter has a map G, of all
layers. Masked language modelling is one of the tasks, so that a language without labels has its vector from text.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter, site_of
from madx.adapters.generator import layer_of

VECTOR, HIDDEN = 64, 192
STD = 0.02  # of a generated weight at the beginning, as of a bottleneck's


class HyperNetwork(nn.Module):
    """For one shape of adapter, without an invertible part; tasks and languages are numbers."""

    def __init__(self, adapter: Adapter, tasks: int, languages: int) -> None:
        super().__init__()
        self.shapes: Mapping[str, torch.Size] = {name: p.shape for name, p in adapter.named_parameters()}
        layers = 1 + max(map(layer_of, self.shapes))
        self.tasks, self.languages, self.layers = (nn.Embedding(n, VECTOR) for n in (tasks, languages, layers))
        self.mix = nn.Linear(3 * VECTOR, HIDDEN)
        self.maps = nn.ParameterDict()
        for name, shape in self.shapes.items():
            if _tensor(name) not in self.maps:  # E h^2 is about 1 / 6
                map_ = torch.randn(math.prod(shape), HIDDEN) * STD / math.sqrt(HIDDEN / 6)
                self.maps[_tensor(name)] = nn.Parameter(map_)

    def forward(self, task: int, language: int) -> dict[str, Tensor]:
        """The adapter's tensors, by name."""
        about = torch.cat([self.tasks.weight[task], self.languages.weight[language]])
        hidden = [torch.relu(self.mix(torch.cat([about, layer]))) for layer in self.layers.weight]
        return {
            name: (self.maps[_tensor(name)] @ hidden[layer_of(name)]).view(shape) for name, shape in self.shapes.items()
        }


def _tensor(name: str) -> str:
    """Of a tensor of any layer, `bottlenecks.<place>_<layer>.<tensor>`; torch's containers take no dots."""
    _, key, own = name.split(".", 2)
    return f"{site_of(key)[0]}/{own.replace('.', '/')}"
