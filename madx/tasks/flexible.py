"""What the kinds share whose head is one of AdapterHub's flexible ones. See adapters/heads.py and formats/heads.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from madx.adapters.heads import Head, HeadType
    from madx.encoders.encoder import Encoder
    from madx.encoders.sites import Positions
    from madx.tasks.batches import Batch


def new_head(head_type: HeadType, num_labels: int, width: int, layers: int, labels: tuple[str, ...] = ()) -> Head:
    from madx.adapters.heads import Head, HeadSpec

    return Head(HeadSpec(head_type=head_type, num_labels=num_labels, layers=layers, labels=labels or None), width)


def save_head(folder: Path, encoder: Encoder, head: Head, name: str) -> None:
    from madx.formats import heads

    heads.save_head(folder, encoder, head, name)


def load_head(folder: Path, encoder: Encoder) -> tuple[str, Head]:
    from madx.formats import heads

    return heads.load_head(folder, encoder)


def null_threshold(head: nn.Module) -> float | None:
    """See `HeadSpec`."""
    from madx.adapters.heads import Head

    return head.spec.null_threshold if isinstance(head, Head) else None


def first_token(batch: Batch) -> Positions:
    """The position that stands for a whole sequence."""
    import torch

    rows = torch.arange(len(batch.ids_BT), device=batch.ids_BT.device)
    return rows, torch.zeros_like(rows)
