"""The bottleneck adapter.

u = U a(D n(h) + d) + c,  scaled;  o = dropout(u) + residual          (Houlsby et al. 2019; Pfeiffer et al. 2020, eq. 1)

Shapes: B batch, T tokens, D width, R bottleneck.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madx.adapters.activations import activation
from madx.adapters.compacter import PhmLinear
from madx.adapters.spec import BottleneckSpec


class Bottleneck(nn.Module):
    """One bottleneck at one site. `forward` gives the scaled update u; `finish` adds the residual."""

    def __init__(self, width: int, bottleneck: int, spec: BottleneckSpec, phm_rule: nn.Parameter | None = None) -> None:
        """`phm_rule`: Compacter's, shared by all sites."""
        super().__init__()
        self.spec = spec
        self.norm_before = nn.LayerNorm(width) if spec.ln_before else None
        self.down, self.up = _projections(width, bottleneck, phm_rule)
        self.activation = activation(spec.non_linearity)
        self.norm_after = nn.LayerNorm(width) if spec.ln_after else None
        self.gate = nn.Linear(width, 1) if spec.use_gating else None
        self.scaling: nn.Parameter | float
        if isinstance(spec.scaling, float):
            self.scaling = spec.scaling
        else:
            self.scaling = nn.Parameter(torch.ones(width if spec.scaling == "channel" else 1))
        self._initialise(spec.init_weights)

    def _initialise(self, scheme: str) -> None:
        for linear in (self.down, self.up, self.gate):
            if not isinstance(linear, nn.Linear):  # none, or a Compacter's, whose own start it keeps
                continue
            nn.init.zeros_(linear.bias)
            if scheme == "houlsby":
                nn.init.trunc_normal_(linear.weight, std=0.01, a=-0.02, b=0.02)
            else:
                nn.init.normal_(linear.weight, std=0.02)
        if scheme == "mam_adapter":  # starts as an exact zero update
            assert isinstance(self.down, nn.Linear)  # the spec's affair
            assert isinstance(self.up, nn.Linear)
            nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
            nn.init.zeros_(self.up.weight)

    def update(self, h_BTD: Tensor) -> Tensor:
        """u: the scaled up-projection, without residual, dropout and gate. (B, T, D) to (B, T, D)."""
        z = h_BTD if self.norm_before is None else self.norm_before(h_BTD)
        u_BTD: Tensor = self.up(self.activation(self.down(z)))
        return u_BTD if isinstance(self.scaling, float) and self.scaling == 1.0 else u_BTD * self.scaling

    def forward(self, h_BTD: Tensor, residual_BTD: Tensor | None) -> Tensor:
        """The adapter's output; `residual_BTD` None for a parallel adapter."""
        o = F.dropout(self.update(h_BTD), self.spec.dropout, self.training)
        if self.gate is not None:  # one gate for a sentence: the mean over all its positions
            o = o * self.gate(h_BTD).sigmoid().mean(dim=1, keepdim=True)
        if residual_BTD is not None and self.spec.adapter_residual_before_ln and self.norm_after is not None:
            return self.norm_after(o + residual_BTD)  # type: ignore[no-any-return]
        if self.norm_after is not None:
            o = self.norm_after(o)
        return o if residual_BTD is None else o + residual_BTD


def _projections(width: int, bottleneck: int, rule: nn.Parameter | None) -> tuple[nn.Module, nn.Module]:
    """Down and up."""
    if rule is None:
        return nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
    return PhmLinear(width, bottleneck, rule), PhmLinear(bottleneck, width, rule)
