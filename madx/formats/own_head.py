"""Heads of kinds of task that AdapterHub's static heads don't cover, on disk.

head_config.json names the head and its type; its tensors stand under `heads.<name>.`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from madx.encoders.encoder import Encoder
from madx.foreign import read_json_object
from madx.formats.adapterhub import about_encoder, put, save_weights
from madx.formats.heads import HEAD_CONFIG, HEAD_PICKLE, HEAD_WEIGHTS
from madx.formats.tensors import read_tensors
from madx.writing import write_json


def save_own_head(folder: Path, encoder: Encoder, head: nn.Module, name: str, config: dict[str, Any]) -> None:
    """`config`: its `head_type`, and what its shape hangs on."""
    tensors = {f"heads.{name}.{key}": tensor for key, tensor in head.state_dict().items()}
    save_weights(folder, tensors, HEAD_WEIGHTS, None)
    write_json(folder / HEAD_CONFIG, {**about_encoder(encoder, name), "config": config})


def own_head_config(folder: Path, head_type: str) -> tuple[str, dict[str, Any]]:
    """The head's name and its configuration; empty for a head of another type, or without a name. Raises InputError."""
    about = read_json_object(folder / HEAD_CONFIG)
    name, config = about.get("name"), about.get("config")
    if not isinstance(name, str) or not isinstance(config, dict) or config.get("head_type") != head_type:
        return "", {}
    return name, config


def load_own_head(folder: Path, encoder: Encoder, name: str, new: nn.Module) -> nn.Module:
    """`new` with the weights of the folder, on the encoder's device. Raises InputError."""
    prefix = f"heads.{name}."
    tensors = read_tensors(folder, HEAD_WEIGHTS, HEAD_PICKLE)
    put(new, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, str(folder))
    return new.to(encoder.device)
