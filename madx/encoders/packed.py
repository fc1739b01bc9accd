"""A batch without its padding: the real tokens in one row, and every sequence attends to itself alone.

Exact: all else that an encoder does, it does at every position by itself. Attention is computed sequence by sequence,
those of equal length that stand next to each other at once, so that none of it is masked. For processors, where what
isn't multiplied is time saved; on a GPU many small attentions would take longer than the padding.
"""

from itertools import groupby
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from madx.encoders.sites import Positions

ATTENTION = "madx_packed"  # its name among transformers' attention functions


# keys and values in front of an attention module's own, (H, P, D) or (B, H, P, D) each; see prefixes.py
PREFIXES: WeakKeyDictionary[nn.Module, tuple[Tensor, Tensor]] = WeakKeyDictionary()


class Packed(NamedTuple):
    """N real tokens of a batch of B sequences, padded to T on either side."""

    real: Positions  # rows and columns of the N, sequence by sequence
    place_BT: Tensor  # where a real token is among the N
    groups: list[tuple[int, int]]  # how many sequences of what length follow each other

    @staticmethod
    def of(mask_BT: Tensor) -> "Packed":
        mask_BT = mask_BT.bool()
        lengths_B = mask_BT.sum(1)
        rows_N, columns_N = mask_BT.nonzero(as_tuple=True)
        groups = [(len(list(equal)), length) for length, equal in groupby(lengths_B.tolist())]
        return Packed((rows_N, columns_N), mask_BT.flatten().cumsum(0).view_as(mask_BT) - 1, groups)

    def row(self, values_BT: Tensor) -> Tensor:
        """(B, T, ...) to (1, N, ...)."""
        return values_BT[self.real][None]

    def places(self, positions: Positions) -> Positions:
        """Where positions of the batch are in the row."""
        rows_M, columns_M = positions
        return torch.zeros_like(rows_M), self.place_BT[rows_M, columns_M]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    groups: list[tuple[int, int]] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """(1, H, N, D) three times to (1, N, H, D), as transformers asks of an attention function.

    Without `groups`: transformers' own, on a padded batch.
    """
    prefix = PREFIXES.get(module)
    if groups is None:
        return attention(module, query, *_behind(prefix, key, value, attention_mask), **options)
    sizes = [count * length for count, length in groups]
    window = options.get("sliding_window")  # positions to either side, and itself
    outputs = []
    split = [torch.split(x[0], sizes, dim=1) for x in (query, key, value)]
    for (count, length), *parts in zip(groups, *split, strict=True):
        q, k, v = (part.unflatten(1, (count, length)).transpose(0, 1) for part in parts)  # (count, H, length, D)
        near = None
        if window is not None and length > window:
            place = torch.arange(length, device=q.device)
            near = ((place[:, None] - place).abs() < window)[None, None]
        outputs.append(attention(module, q, *_behind(prefix, k, v, near), **options)[0].flatten(0, 1))
    return torch.cat(outputs)[None], None


def _behind(
    prefix: tuple[Tensor, Tensor] | None, key: Tensor, value: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(B, H, T, D) twice to (B, H, P + T, D), and a boolean mask, if there is one, that lets everybody see the P."""
    if prefix is None:
        return key, value, mask
    before, values = (part.to(key.dtype).expand(len(key), -1, -1, -1) for part in prefix)
    key, value = torch.cat([before, key], 2), torch.cat([values, value], 2)
    return key, value, None if mask is None else nn.functional.pad(mask, (before.shape[2], 0), value=True)


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """(B, H, T, D) three times to (B, T, H, D): torch's own; where bf16 is trained, in fp32.

    Its backward pass in bf16 takes four times as long on a processor with AMX, for short texts ten times.
    """
    if query.dtype == torch.bfloat16 and torch.is_grad_enabled() and query.requires_grad:
        with torch.autocast(query.device.type, enabled=False):
            mask = mask.float() if mask is not None and mask.is_floating_point() else mask
            states, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **options)
        return states.to(query.dtype), None
    found: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **options)
    return found


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
