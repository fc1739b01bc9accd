"""Stage one held near the frozen encoder: beside the masked-LM loss, the divergence of the adapted model's predictions
from those that the encoder makes by itself, KL(p_frozen || p_adapted) at the masked positions.

M positions, V vocabulary.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from madx.corpora.masking import Masked
from madx.encoders.encoder import Encoder


class NearFrozen:
    """`weight` times that, summed over the positions. `activate` sets the adapters up again that are trained."""

    def __init__(self, encoder: Encoder, weight: float, activate: Callable[[], None]) -> None:
        self.encoder, self.weight, self.activate = encoder, weight, activate
        self.head = copy.deepcopy(encoder.lm_head.transform)  # which stage one trains, as it is now

    def __call__(self, masked: Masked, states_MD: Tensor) -> Tensor:
        with torch.no_grad():
            _, logits_MV = states_under(self.encoder, masked, None, self._logits, self.activate)
            own_MV = F.log_softmax(logits_MV, dim=-1)
        adapted_MV = F.log_softmax(self.encoder.masked_lm_logits(states_MD), dim=-1)
        return self.weight * F.kl_div(adapted_MV, own_MV, reduction="sum", log_target=True)

    def _logits(self, states_MD: Tensor) -> Tensor:
        for part in self.head:
            states_MD = part(states_MD)
        return F.linear(states_MD, *self.encoder.lm_head.decoder)


def states_under(
    encoder: Encoder,
    masked: Masked,
    setup: str | None,
    logits: Callable[[Tensor], Tensor],
    activate: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """States at the masked positions and their logits under another adapter, or none, without dropout.

    (M, D) and (M, V). `activate` sets up again what was active.
    """
    rows_M, columns_M = masked.chosen_BT.nonzero(as_tuple=True)
    device = encoder.device
    encoder.activate(*([setup] if setup else []))
    try:
        with encoder.evaluating():
            states_MD = encoder.hidden(masked.ids_BT.to(device), read=(rows_M.to(device), columns_M.to(device)))
            return states_MD, logits(states_MD)
    finally:
        activate()
