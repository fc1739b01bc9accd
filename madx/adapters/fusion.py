"""AdapterFusion (Pfeiffer et al. 2021, arXiv 2005.00247): attention over the updates of several adapters.

k_i = Wk u_i + bk;  v_i = Wv u_i;  p = softmax_i((Wq q + bq) . k_i / T);  o = sum_i p_i v_i + residual
No 1/sqrt(D). Shapes: B batch, T tokens, D width, N adapters.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madx.adapters.spec import Place
from madx.config import Frozen

FIRST_TEMPERATURE, COOLING = 50.0, 0.05


class FusionSpec(Frozen):
    """AdapterHub's ten keys; the defaults are its `dynamic` fusion, key and query alone are `static`."""

    key: bool = True
    query: bool = True
    value: bool = True
    query_before_ln: bool = False  # the query is the state before the layer's norm
    regularization: bool = True  # the value matrix is held near the identity in training: a trainer's affair
    residual_before: bool = False  # the residual joins each update instead of the sum
    temperature: bool = False  # T falls from 50 to 1 as training goes on
    value_before_softmax: bool = True
    value_initialized: bool = True  # the value matrix starts as the identity
    dropout_prob: float | None = None  # on the scores


class FusionLayer(nn.Module):
    """One site's fusion."""

    def __init__(self, width: int, spec: FusionSpec) -> None:
        super().__init__()
        self.spec, self.temperature = spec, FIRST_TEMPERATURE if spec.temperature else 1.0
        self.query = nn.Linear(width, width) if spec.query else None
        self.key = nn.Linear(width, width) if spec.key else None
        self.value = nn.Linear(width, width, bias=False) if spec.value else None
        for linear in (self.query, self.key):
            if linear is not None:
                nn.init.normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)
        if self.value is not None and spec.value_initialized:
            # off the diagonal not zero, so that every weight has a gradient
            self.value.weight.data = torch.eye(width) + (1 - torch.eye(width)) * 1e-6

    def forward(self, query_BTD: Tensor, updates: Sequence[Tensor], residual_BTD: Tensor | None) -> Tensor:
        """(B, T, D), N times (B, T, D) and (B, T, D) to (B, T, D); no residual beside parallel adapters."""
        u_BTND = torch.stack(list(updates), dim=2)
        if self.spec.residual_before and residual_BTD is not None:
            u_BTND = u_BTND + residual_BTD[:, :, None]
        q_BTD = query_BTD if self.query is None else self.query(query_BTD)
        k_BTND = u_BTND if self.key is None else self.key(u_BTND)
        scores_BTN = (k_BTND @ q_BTD[..., None]).squeeze(-1)
        scores_BTN = F.dropout(scores_BTN, self.spec.dropout_prob or 0.0, self.training)
        p_BTN = (scores_BTN / self.temperature).softmax(-1)
        if self.training and self.spec.temperature:  # the peer cools in evaluation too: its outputs drift
            self.temperature = max(1.0, self.temperature - COOLING)
        early = self.value is not None and self.spec.value_before_softmax
        v_BTND = self.value(u_BTND) if self.value is not None and early else u_BTND
        o_BTD = (p_BTN[:, :, None] @ v_BTND).squeeze(2)
        if self.value is not None and not early:
            o_BTD = self.value(o_BTD)
        return o_BTD if self.spec.residual_before or residual_BTD is None else o_BTD + residual_BTD


class Fusion(nn.Module):
    """The fusion layers of all sites, by place and layer."""

    def __init__(self, spec: FusionSpec, width: int, sites: Sequence[tuple[Place, int]]) -> None:
        super().__init__()
        self.spec = spec
        self.layers = nn.ModuleDict({f"{place}_{layer}": FusionLayer(width, spec) for place, layer in sites})

    def at(self, layer: int, place: Place) -> FusionLayer | None:
        key = f"{place}_{layer}"
        return self.layers[key] if key in self.layers else None  # type: ignore[return-value]
