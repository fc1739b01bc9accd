"""AdapterHub's union (`architecture: "union"`, `adapters` 1.3.0), in and out: a LoRA, a prefix, a bottleneck, one name.

With UniPELT's gates (Mao et al. 2022, arXiv 2110.07577) on all three, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from madx.adapters.bank import Adapter
from madx.adapters.setup import Stack
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.linears import LinearParts
from madx.encoders.prefixes import PrefixChange
from madx.formats.adapter_config import config_from_spec, spec_from_config
from madx.formats.adapterhub import CONFIG, PICKLE, WEIGHTS, about_encoder, peer_names, put_adapter
from madx.formats.peer_lora import lora_config, lora_tensors, put_lora
from madx.formats.peer_prefix import prefix_config, prefix_tensors, put_prefix
from madx.formats.tensors import read_tensors, save_tensors
from madx.writing import write_json

LORA, PREFIX, BOTTLENECK = "lora", "prefix_tuning", None  # a part's `architecture`


def load_peer_union(folder: Path, encoder: Encoder, config: dict[str, Any], name: str, load_as: str) -> None:
    """Put the folder's parts into the encoder, frozen, and `load_as` for them all. Raises InputError."""
    configs = config.get("configs")
    if not isinstance(configs, list) or not configs or not all(isinstance(part, dict) for part in configs):
        raise InputError(f"{folder}: a union without 'configs'")
    kinds = [part.get("architecture") for part in configs]
    if len(set(kinds)) < len(kinds) or not {*kinds} <= {LORA, PREFIX, BOTTLENECK}:
        raise InputError(f"{folder}: a union of {kinds} is not supported; one LoRA, one prefix and one bottleneck are")
    gates = [bool(part.get("use_gating")) for part in configs]
    if len(set(gates)) > 1 or (gates[0] and BOTTLENECK not in kinds):  # a bottleneck's keeps batches from being packed
        raise InputError(
            f"{folder}: gates on a part of a union are not supported; on all of them, a bottleneck too, are"
        )
    by_kind = _by_kind(read_tensors(folder, WEIGHTS, PICKLE), name)
    names = []
    for kind, part in zip(kinds, configs, strict=True):
        own = f"{load_as} {kind or 'bottleneck'}"
        tensors = by_kind.pop(kind)
        if kind == LORA:
            put_lora(encoder, part, name, own, tensors, str(folder), gates[0])
        elif kind == PREFIX:
            put_prefix(encoder, part, name, own, tensors, str(folder), gates[0])
        else:
            spec = spec_from_config(part, str(folder))
            put_adapter(encoder, spec, name, own, tensors, str(folder)).requires_grad_(False)
        names.append(own)
    if any(by_kind.values()):
        raise InputError(f"{folder}: unexpected tensor '{next(key for rest in by_kind.values() for key in rest)}'")
    encoder.setups[load_as] = Stack(*names)


def _by_kind(tensors: Mapping[str, Tensor], name: str) -> dict[str | None, dict[str, Tensor]]:
    found: dict[str | None, dict[str, Tensor]] = {LORA: {}, PREFIX: {}, BOTTLENECK: {}}
    for key, tensor in tensors.items():
        kind = LORA if f".loras.{name}." in key else PREFIX if ".prefix_tuning" in key else BOTTLENECK
        found[kind][key] = tensor
    return found


def save_peer_union(folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
    """A union that is in the encoder. Raises InputError for parts that AdapterHub has no name for."""
    union = encoder.setups[name]
    assert isinstance(union, Stack)
    configs: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for part in union.children:
        assert isinstance(part, str)
        match encoder.changes.get(part) or encoder.adapters.get(part):
            case LinearParts() as parts:
                configs.append(lora_config(encoder, parts, str(folder)))
                tensors |= lora_tensors(encoder, parts, save_as)
            case PrefixChange() as change:
                configs.append(prefix_config(change))
                tensors |= prefix_tensors(encoder, change, save_as)
            case Adapter() as adapter:
                configs.append(config_from_spec(adapter.spec, encoder.width))
                names = peer_names(encoder, adapter, save_as)
                tensors |= {names[key]: tensor for key, tensor in adapter.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, tensors)
    write_json(
        folder / CONFIG, {**about_encoder(encoder, save_as), "config": {"architecture": "union", "configs": configs}}
    )
