"""One adapter across layers, after Lily (Zhong et al. 2024, arXiv 2407.09946): layers of a group share the projection
down, and all layers the projections up, which a router of the layer's own mixes.

z = a(D_g h + d_g),   p = softmax(R_l z + r_l),   u = sum_e p_e U_e z + c

Lily averages p over the tokens; here each token has its own, so that no answer depends on what stands beside it.
Shapes: B batch, T tokens, D width, R bottleneck, E projections up.
"""

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter, site_of


class RoutedUp(nn.Module):
    """`pool_ERD` and `bias_D` are of all layers together."""

    def __init__(self, pool_ERD: nn.Parameter, bias_D: nn.Parameter) -> None:
        super().__init__()
        experts, bottleneck, _ = pool_ERD.shape
        self.pool_ERD, self.bias_D = pool_ERD, bias_D
        self.router = nn.Linear(bottleneck, experts)
        nn.init.normal_(self.router.weight, std=0.02)
        nn.init.zeros_(self.router.bias)

    def forward(self, z_BTR: Tensor) -> Tensor:
        p_BTE = self.router(z_BTR).softmax(-1)
        return torch.einsum("...e,...r,erd->...d", p_BTE, z_BTR, self.pool_ERD) + self.bias_D


def share_across_layers(adapter: Adapter, groups: int, experts: int) -> None:
    """Make it one: as many groups of neighbouring layers, and projections up, at each place by itself.

    Raises ValueError where it has fewer layers than groups.
    """
    places: dict[str, list[str]] = {}
    for key in sorted(adapter.bottlenecks, key=lambda key: site_of(key)[1]):
        places.setdefault(site_of(key)[0], []).append(key)
    for keys in places.values():
        if groups > len(keys):
            raise ValueError(f"lily.groups = {groups}: there are {len(keys)} layers with adapters")
        first = adapter.bottlenecks[keys[0]].up
        assert isinstance(first, nn.Linear)
        pool_ERD = nn.Parameter(torch.randn(experts, first.in_features, first.out_features) * 0.02)
        bias_D = nn.Parameter(torch.zeros(first.out_features))
        for number, key in enumerate(keys):
            lead = next(k for n, k in enumerate(keys) if n * groups // len(keys) == number * groups // len(keys))
            bottleneck = adapter.bottlenecks[key]
            bottleneck.down = adapter.bottlenecks[lead].down
            bottleneck.up = RoutedUp(pool_ERD, bias_D)
