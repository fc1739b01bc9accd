"""Masking for the masked language model: 15 % of the tokens, of these 80 % masked, 10 % random, 10 % kept (BERT)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Masked(NamedTuple):
    ids_BT: Tensor  # what the encoder reads
    chosen_BT: Tensor  # bool: where it must predict
    targets_M: Tensor  # what stood there, in reading order


def mask_tokens(
    ids_BT: Tensor, *, special: Tensor, mask_id: int, vocabulary: int, seed: int, rate: float = 0.15
) -> Masked:
    """`special`: ids that are never chosen, (S,). At least one position is chosen. A function of its arguments."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(ids_BT.shape, generator=generator)
    ordinary = ~torch.isin(ids_BT, special)
    draw = draw.masked_fill(~ordinary, 2.0)
    chosen = draw < rate
    if not chosen.any():
        chosen.view(-1)[draw.argmin()] = True
    action = torch.rand(ids_BT.shape, generator=generator)
    random = torch.randint(0, vocabulary, ids_BT.shape, generator=generator)
    ids = torch.where(chosen & (action < 0.8), torch.tensor(mask_id), ids_BT)
    ids = torch.where(chosen & (action >= 0.9), random, ids)
    return Masked(ids, chosen, ids_BT[chosen])
