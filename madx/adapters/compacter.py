"""Compacter's linear layer: a sum of Kronecker products of small matrices (Mahabadi et al. 2021, arXiv 2106.04647).

y = x H + b,   H = sum_{i<n} A_i (x) (s_i t_i^T)

The n matrices A_i, n x n each, are an adapter's, shared by all its layers; s_i and t_i are of this layer alone.
Shapes: B batch, T tokens, I inputs, O outputs, N products, R rank.
"""

import torch
from torch import Tensor, nn

RULE_STD = 1e-4
RANK = 1


def new_rule(products: int) -> nn.Parameter:
    """The A_i, (N, N, N)."""
    return nn.Parameter(torch.randn(products, products, products) * RULE_STD)


class PhmLinear(nn.Module):
    """`rule` is somebody else's parameter; this layer's own are named as AdapterHub names them."""

    def __init__(self, inputs: int, outputs: int, rule: nn.Parameter) -> None:
        """Raises ValueError where inputs or outputs are no multiples of N."""
        super().__init__()
        products = len(rule)
        if inputs % products or outputs % products:
            raise ValueError(
                f"{inputs} x {outputs} can't be cut into {products} parts: choose another reduction_factor"
            )
        self._rule = (rule,)  # a tuple, so that it isn't registered a second time
        self.W_left = nn.Parameter(torch.empty(products, inputs // products, RANK))
        self.W_right = nn.Parameter(torch.empty(products, RANK, outputs // products))
        self.b = nn.Parameter(torch.zeros(outputs))
        for factors in (self.W_left, self.W_right):
            for factor in factors.data:
                nn.init.xavier_normal_(factor)

    @property
    def weight_IO(self) -> Tensor:
        small_NPQ = self.W_left @ self.W_right
        rule_NAB = self._rule[0]
        large_APBQ = torch.einsum("nab,npq->apbq", rule_NAB, small_NPQ)
        return large_APBQ.reshape(rule_NAB.shape[1] * small_NPQ.shape[1], -1)

    def forward(self, x_BTI: Tensor) -> Tensor:
        return x_BTI @ self.weight_IO + self.b
