"""The biaffine head of dependency parsing, and AdapterHub's form of it on disk.

Dozat and Manning 2017, arXiv 1611.01734; in the short form of Glavaš and Vulić 2021, arXiv 2008.06788. D width, L
relations.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from madx.config import InputError
from madx.writing import write_json

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


HEAD_CONFIG, WEIGHTS, PICKLE = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"


def save_head(folder: Path, encoder: Encoder, head: nn.Module, name: str) -> None:
    """As AdapterHub's `dependency_parsing` head."""
    from madx.formats.adapterhub import about_encoder, save_weights

    labels: tuple[str, ...] = head.labels  # type: ignore[assignment]
    tensors = {f"heads.{name}.{key}": tensor for key, tensor in head.state_dict().items()}
    save_weights(folder, tensors, WEIGHTS, None)
    label2id = {label: i for i, label in enumerate(labels)}
    config = {"head_type": "dependency_parsing", "num_labels": len(labels), "label2id": label2id}
    write_json(folder / HEAD_CONFIG, {**about_encoder(encoder, name), "config": config})


def load_head(folder: Path, encoder: Encoder) -> tuple[str, nn.Module]:
    from madx.foreign import read_json_object
    from madx.formats.adapterhub import put
    from madx.formats.tensors import read_tensors

    path = folder / HEAD_CONFIG
    about = read_json_object(path)
    name, config = about.get("name"), about.get("config")
    config = config if isinstance(config, dict) else {}
    labels = config.get("label2id")
    if not isinstance(name, str) or not isinstance(labels, dict) or config.get("head_type") != "dependency_parsing":
        raise InputError(f"{path}: not a dependency-parsing head with its labels")
    new = new_head(encoder.width, sorted(labels, key=labels.__getitem__))
    prefix = f"heads.{name}."
    tensors = read_tensors(folder, WEIGHTS, PICKLE)
    put(new, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, str(folder))
    return name, new.to(encoder.device)
