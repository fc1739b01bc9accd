"""How undecided a head is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def mean_entropy(logits_NC: Tensor) -> Tensor:
    """Nats, of the softmax over C, averaged over N."""
    log_NC = logits_NC.float().log_softmax(-1)
    return -(log_NC.exp() * log_NC).sum(-1).mean()
