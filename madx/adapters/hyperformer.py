"""HyperFormer++ (Mahabadi et al. 2021, arXiv 2106.04489, section 2.4): one network makes the adapters of several tasks.

z = LN(W2 ReLU(W1 [t; l; p] + b1) + b2),   theta = G z + g

with learned vectors t of the task, l of the layer and p of the place in it (after attention, after feed-forward). Each
tensor of a bottleneck has one map G, of all layers and both places.
S sites, V width of the three vectors together, Z width of z.
"""

import math

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter, site_of

VECTOR, HIDDEN, CODE = 64, 128, 64
STD = (
    0.02  # of a generated weight at the beginning, as of a bottleneck's; the paper's is larger, under a norm of its own
)
PLACES = ("attention", "ffn")


class TaskNetwork(nn.Module):
    """For one shape of adapter, equal in all layers and without an invertible part; tasks are numbers."""

    def __init__(self, adapter: Adapter, tasks: int) -> None:
        super().__init__()
        self.shapes = {name: parameter.shape for name, parameter in adapter.named_parameters()}
        self.sites = list(adapter.bottlenecks)
        places, layers = zip(*map(site_of, self.sites), strict=True)
        self.tasks, self.layers = nn.Embedding(tasks, VECTOR), nn.Embedding(1 + max(layers), VECTOR)
        self.places = nn.Embedding(len(PLACES), VECTOR)
        self.register_buffer("layer_S", torch.tensor(layers), persistent=False)
        self.register_buffer("place_S", torch.tensor([PLACES.index(place) for place in places]), persistent=False)
        self.mix = nn.Sequential(
            nn.Linear(3 * VECTOR, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CODE), nn.LayerNorm(CODE)
        )  # fmt: skip
        self.maps = nn.ModuleDict()
        for name, shape in self.shapes.items():
            _, own = _parts(name)
            if own not in self.maps:
                self.maps[own] = map_ = nn.Linear(CODE, math.prod(shape))
                nn.init.normal_(map_.weight, std=STD / math.sqrt(CODE))  # |z|^2 is CODE
                nn.init.zeros_(map_.bias)

    def forward(self, task: int) -> dict[str, Tensor]:
        """The adapter's tensors, by name."""
        task_SV = self.tasks.weight[task].expand(len(self.sites), -1)
        about_SV = torch.cat([task_SV, self.layers(self.layer_S), self.places(self.place_S)], dim=1)
        code_SZ = self.mix(about_SV)
        made = {own: map_(code_SZ) for own, map_ in self.maps.items()}
        tensors = {}
        for name, shape in self.shapes.items():
            site, own = _parts(name)
            tensors[name] = made[own][self.sites.index(site)].view(shape)
        return tensors


def _parts(name: str) -> tuple[str, str]:
    """Of `bottlenecks.<site>.<tensor>` the site, and the tensor's name; torch's containers take no dots."""
    _, site, own = name.split(".", 2)
    return site, own.replace(".", "/")
