"""AdapterHub's prefix tuning (`architecture: "prefix_tuning"`, `adapters` 1.3.0), in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.prefixes import PrefixChange, new_prefix
from madx.formats.adapterhub import CONFIG, PICKLE, WEIGHTS, about_encoder, put, put_below
from madx.formats.tensors import read_tensors, save_tensors
from madx.writing import write_json

# beside the sizes: what madx computes
AS_IT_IS = {"architecture": "prefix_tuning", "encoder_prefix": True, "cross_prefix": True, "leave_out": [],
            "dropout": 0.0, "use_gating": False, "shared_gating": True, "non_linearity": "tanh",
            "init_weights_seed": None}  # fmt: skip


def load_peer_prefix(folder: Path, encoder: Encoder, config: dict[str, Any], name: str, load_as: str) -> None:
    """Put the folder's prefix `name` into the encoder, frozen. Raises InputError for what madx can't compute."""
    put_prefix(encoder, config, name, load_as, read_tensors(folder, WEIGHTS, PICKLE), str(folder))


def put_prefix(
    encoder: Encoder,
    config: dict[str, Any],
    name: str,
    load_as: str,
    tensors: dict[str, Tensor],
    where: str,
    gated: bool = False,
) -> None:
    """`gated`: with UniPELT's gates, which stand in a union alone."""
    for key, value in {**AS_IT_IS, "use_gating": gated}.items():
        if config.get(key, value) != value:
            raise InputError(f"{where}: prefix tuning with {key} = {config[key]!r} is not supported")
    length, bottleneck = config.get("prefix_length", 30), config.get("bottleneck_size", 512)
    if not all(type(size) is int and 0 < size < 1 << 16 for size in (length, bottleneck)):
        raise InputError(f"{where}: prefix_length and bottleneck_size can't be {length!r} and {bottleneck!r}")
    prefix = new_prefix(encoder, length, None if config.get("flat") else bottleneck)
    start = f"prefix_tuning.prefix_tunings.{name}.self_prefix."
    change = PrefixChange(encoder, prefix, gated)
    for layer, gate in enumerate(change.gates):
        put_below(gate, tensors, _gate_key(encoder, layer, name), where)
    own = {}
    for key, tensor in tensors.items():  # each layer has the same tensors once more, under a name of its own
        inner = key.removeprefix(encoder.prefix + ".")
        if inner.startswith(start):
            own[inner.removeprefix(start)] = tensor
        elif f".prefix_tuning.pool.prefix_tunings.{name}.self_prefix." not in key:
            raise InputError(f"{where}: unexpected tensor '{key}'")
    put(prefix, own, where)
    encoder.changes[load_as] = change.to(encoder.device).requires_grad_(False)


def save_peer_prefix(folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
    change = encoder.changes[name]
    assert isinstance(change, PrefixChange)
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, prefix_tensors(encoder, change, save_as))
    write_json(folder / CONFIG, {**about_encoder(encoder, save_as), "config": prefix_config(change)})


def prefix_config(change: PrefixChange) -> dict[str, Any]:
    state = change.prefix.state_dict()
    flat = "control_trans" in state
    return {**AS_IT_IS, "use_gating": len(change.gates) > 0, "prefix_length": change.prefix.shape[0], "flat": flat,
            "bottleneck_size": 512 if flat else len(state["control_trans.0.bias"])}  # fmt: skip


def prefix_tensors(encoder: Encoder, change: PrefixChange, name: str) -> dict[str, Tensor]:
    start = f"{encoder.prefix}.prefix_tuning.prefix_tunings.{name}.self_prefix."
    found = {start + key: tensor for key, tensor in change.prefix.state_dict().items()}
    for layer, gate in enumerate(change.gates):
        found |= {_gate_key(encoder, layer, name) + key: tensor for key, tensor in gate.state_dict().items()}
    return found


def _gate_key(encoder: Encoder, layer: int, name: str) -> str:
    inside = encoder.family.linears["query"].rpartition(".")[0]
    return f"{encoder.prefix}.{encoder.family.layers}.{layer}.{inside}.prefix_tuning.prefix_gates.{name}."
