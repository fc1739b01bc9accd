"""The text side's projection into the space of an image encoder, and its form on disk. D width, I the images' width.

As M-CLIP's: a linear layer on the mean of a text's states (Carlsson et al. 2022, Cross-lingual and Multilingual CLIP),
and CLIP's learnt temperature (Radford et al. 2021, arXiv 2103.00020).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from madx.config import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.encoders.encoder import Encoder

HEAD_TYPE = "image_retrieval"
SCALE, LARGEST_SCALE = 1 / 0.07, 100.0  # CLIP's: at the start, and the most that it may become


def new_head(width: int, image_width: int) -> nn.Module:
    """A module of states (B, D) -> unit vectors (B, I), with `scale()`, one over the temperature."""
    import torch

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image_width = image_width
            self.linear = torch.nn.Linear(width, image_width)
            self.log_scale = torch.nn.Parameter(torch.tensor([math.log(SCALE)]))

        def forward(self, states_BD: Tensor) -> Tensor:
            return torch.nn.functional.normalize(self.linear(states_BD).float(), dim=-1)

        def scale(self) -> Tensor:
            return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    return Projection()


def save_head(folder: Path, encoder: Encoder, head: nn.Module, name: str) -> None:
    """Beside the adapter, in the layout of AdapterHub's heads, which have none of this kind."""
    from madx.formats.own_head import save_own_head

    config = {"head_type": HEAD_TYPE, "num_labels": 0, "image_width": head.image_width}
    save_own_head(folder, encoder, head, name, config)


def load_head(folder: Path, encoder: Encoder) -> tuple[str, nn.Module]:
    from madx.formats.heads import HEAD_CONFIG
    from madx.formats.own_head import load_own_head, own_head_config

    name, config = own_head_config(folder, HEAD_TYPE)
    width = config.get("image_width")
    if not isinstance(width, int) or not 1 <= width <= 1 << 16:
        raise InputError(f"{folder / HEAD_CONFIG}: not the head of a retrieval task with its image_width")
    return name, load_own_head(folder, encoder, name, new_head(encoder.width, width))
