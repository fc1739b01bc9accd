"""The biaffine head of dependency parsing, and AdapterHub's form of it on disk.

Dozat and Manning 2017, arXiv 1611.01734; in the short form of Glavaš and Vulić 2021, arXiv 2008.06788. D width, L
relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from madx.config import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.encoders.encoder import Encoder


def new_head(width: int, labels: Sequence[str]) -> nn.Module:
    """A module of (states (W, D), heads (H, D)) -> scores of arcs (W, H) and of relations (W, H, L); all zero."""
    import torch

    class BiaffineHead(torch.nn.Module):
        """AdapterHub's, with its names: arcs (1, D+1, D) and relations (L, D+1, D+1), zero at the start."""

        def __init__(self) -> None:
            super().__init__()
            self.labels = tuple(labels)
            for name, shape in (("arcs", (1, width + 1, width)), ("rels", (len(labels), width + 1, width + 1))):
                part = torch.nn.Module()
                part.weight = torch.nn.Parameter(torch.zeros(shape))
                self.add_module(f"biaffine_{name}", part)

        def forward(self, states_WD: Tensor, heads_HD: Tensor) -> tuple[Tensor, Tensor]:
            """Scores of W words for H heads, (W, H), and of each relation to each, (W, H, L)."""
            one = states_WD.new_ones
            x_WD = torch.cat([states_WD, one(len(states_WD), 1)], -1)
            y_HD = torch.cat([heads_HD, one(len(heads_HD), 1)], -1)
            arcs_WH = x_WD @ self.get_parameter("biaffine_arcs.weight")[0] @ heads_HD.T
            rels_WHL = torch.einsum("wi,lij,hj->whl", x_WD, self.get_parameter("biaffine_rels.weight"), y_HD)
            return arcs_WH, rels_WHL

    return BiaffineHead()


HEAD_TYPE = "dependency_parsing"


def save_head(folder: Path, encoder: Encoder, head: nn.Module, name: str) -> None:
    """As AdapterHub's `dependency_parsing` head."""
    from madx.formats.own_head import save_own_head

    labels: tuple[str, ...] = head.labels  # type: ignore[assignment]
    label2id = {label: i for i, label in enumerate(labels)}
    config = {"head_type": HEAD_TYPE, "num_labels": len(labels), "label2id": label2id}
    save_own_head(folder, encoder, head, name, config)


def load_head(folder: Path, encoder: Encoder) -> tuple[str, nn.Module]:
    from madx.formats.heads import HEAD_CONFIG
    from madx.formats.own_head import load_own_head, own_head_config

    name, config = own_head_config(folder, HEAD_TYPE)
    labels = config.get("label2id")
    if not isinstance(labels, dict):
        raise InputError(f"{folder / HEAD_CONFIG}: not a dependency-parsing head with its labels")
    new = new_head(encoder.width, sorted(labels, key=labels.__getitem__))
    return name, load_own_head(folder, encoder, name, new)
