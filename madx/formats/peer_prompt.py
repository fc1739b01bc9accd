"""AdapterHub's prompt tuning (`architecture: "prompt_tuning"`, `adapters` 1.3.0), in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.prompts import PromptChange
from madx.formats.adapterhub import CONFIG, PICKLE, WEIGHTS, about_encoder
from madx.formats.tensors import read_tensors, save_tensors
from madx.writing import write_json

COMBINE = {"prefix": False, "prefix_after_bos": True}  # whether it stands behind the first token


def load_peer_prompt(folder: Path, encoder: Encoder, config: dict[str, Any], name: str, load_as: str) -> None:
    """Put the folder's prompt `name` into the encoder, frozen. Raises InputError for what madx can't compute."""
    combine, length = config.get("combine", "prefix"), config.get("prompt_length", 10)
    if combine not in COMBINE:
        raise InputError(f"{folder}: prompt tuning with combine = {combine!r} is not supported; known: {list(COMBINE)}")
    if type(length) is not int or not 0 < length < 1 << 16:
        raise InputError(f"{folder}: prompt_length can't be {length!r}")
    change = PromptChange(encoder, length, COMBINE[combine])
    tensors = read_tensors(folder, WEIGHTS, PICKLE)
    vectors = tensors.pop(_key(encoder, name), None)
    if vectors is None or vectors.shape != change.vectors.shape or tensors:
        raise InputError(f"{folder}: not the one tensor of a prompt of {length} vectors of {encoder.ref.name}'s width")
    change.vectors.data.copy_(vectors)
    encoder.changes[load_as] = change.to(encoder.device).requires_grad_(False)


def save_peer_prompt(folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
    change = encoder.changes[name]
    assert isinstance(change, PromptChange)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, {_key(encoder, save_as): change.vectors})
    (combine,) = [word for word, after_first in COMBINE.items() if after_first == change.after_first]
    config = {"architecture": "prompt_tuning", "prompt_length": change.length, "prompt_init": "random_uniform",
              "prompt_init_text": None, "combine": combine, "init_weights_seed": None}  # fmt: skip
    write_json(folder / CONFIG, {**about_encoder(encoder, save_as), "config": config})


def _key(encoder: Encoder, name: str) -> str:
    return f"{encoder.prefix}.prompt_tuning.prompt_tunings.{name}.prompt_embedding.weight"
