"""AdapterHub folders in and out: one table of names, both directions.

The layout is that of `adapters` 1.3.0; what older versions wrote is read. A pickle is only ever opened weights-only.
Every refusal is one line that names the file and what is wrong with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from madx.adapters.bank import Adapter, site_of
from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.foreign import checked_name, read_json_object
from madx.formats.adapter_config import config_from_spec, named_config, reason, spec_from_config
from madx.formats.manifest import PACKED, check, without_place
from madx.formats.sparse import pack, read_packed
from madx.formats.tensors import read_tensors, save_pickle, save_tensors
from madx.writing import write_json

VERSION = "adapters.1.3.0"
CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
LEGACY_NAMES = {  # plain substring replacement, as the peer does it
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters",
}


# ------------------------------------------------------------------------------------------------------- names


def _names(spec: BottleneckSpec) -> dict[str, str]:
    """Inside one bottleneck: ours to theirs. A norm before shifts the down-projection by one."""
    names = {
        "down.": "adapter_down.1." if spec.ln_before else "adapter_down.0.",
        "up.": "adapter_up.",
        "norm_after.": "adapter_norm_after.",
        "gate.": "gate.",
        "scaling": "scaling",
    }
    return {"norm_before.": "adapter_down.0.", **names} if spec.ln_before else names


def peer_names(encoder: Encoder, adapter: Adapter, name: str) -> dict[str, str]:
    """Our tensor names to the peer's, with the base model's prefix."""
    table = {}
    inside = _names(adapter.spec)
    for key in adapter.state_dict():
        if key.startswith("invertible."):
            table[key] = f"{encoder.prefix}.invertible_adapters.{name}.{key.removeprefix('invertible.')}"
            continue
        if key == "phm_rule":
            table[key] = f"{encoder.prefix}.shared_parameters.{name}.phm_rule"
            continue
        _, site, rest = key.split(".", 2)
        place, layer = site_of(site)
        ours = next(prefix for prefix in inside if rest.startswith(prefix))
        site_name = encoder.family.site_names[place].format(layer)
        table[key] = f"{encoder.prefix}.{site_name}.adapters.{name}.{inside[ours]}{rest.removeprefix(ours)}"
    return table


# --------------------------------------------------------------------------------------------------- adapters


def load_adapter(
    folder: Path, encoder: Encoder, load_as: str | None = None, leave_out: tuple[int, ...] = ()
) -> tuple[str, Adapter]:
    """Read an adapter into the encoder's bank. Raises InputError if it wasn't made for this shape of encoder.

    The peer loads a BERT adapter into XLM-R without a word and leaves it random; here a missing or an unexpected
    tensor is an error.
    """
    path = folder / CONFIG
    check(folder, encoder.ref.digest)
    about = read_json_object(path)
    config, name = about.get("config"), about.get("name")
    if name is None:
        raise InputError(f"{path}: 'name' is missing")
    name = checked_name(name, path)
    if isinstance(config, str):
        config = named_config(config, path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: 'config' is missing")
    for key, have in (("model_type", encoder.model_type), ("hidden_size", encoder.width)):
        wanted = about.get(key)
        if wanted is not None and wanted != have:
            raise InputError(f"{path}: made for {key} {wanted}, but {encoder.ref.name} has {have}")
    packed = folder / PACKED
    tensors = read_packed(packed) if packed.exists() else read_tensors(folder, WEIGHTS, PICKLE)
    for old, new in LEGACY_NAMES.items():
        tensors = {key.replace(old, new): value for key, value in tensors.items()}
    spec = spec_from_config(config, str(path), has_version="version" in about)
    promised = any(".invertible_adapters." in f".{key}" for key in tensors)
    if about.get("type") == "text_task" and not promised:
        spec = spec.model_copy(update={"invertible": None})  # the old config always promised one
    spec = spec.model_copy(update={"leave_out": tuple(sorted({*spec.leave_out, *leave_out}))})
    final = load_as or name
    return final, put_adapter(encoder, spec, name, final, tensors, str(folder))


def put_adapter(
    encoder: Encoder, spec: BottleneckSpec, name: str, load_as: str, tensors: dict[str, Tensor], where: str
) -> Adapter:
    """An adapter of the peer's tensors into the encoder's bank. Raises InputError where they aren't just those."""
    try:
        adapter = Adapter(spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{where}: {reason(error)}") from None
    if not any(key.startswith(encoder.prefix + ".") for key in tensors):
        tensors = {f"{encoder.prefix}.{key}": value for key, value in tensors.items()}
    wanted_names = {theirs: ours for ours, theirs in peer_names(encoder, adapter, name).items()}
    ours: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key in wanted_names:
            ours[wanted_names[key]] = tensor
        elif not _may_be_ignored(key, encoder, spec, name):
            raise InputError(f"{where}: unexpected tensor '{key}'; the adapter is not for {encoder.ref.name}")
    put(adapter, ours, where)
    try:
        encoder.adapters.put(load_as, adapter.to(encoder.device))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return adapter


def put(module: torch.nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Load a state exactly: every tensor, no other, the right shapes. Raises InputError."""
    for key, parameter in module.state_dict().items():
        if key not in tensors:
            raise InputError(f"{where}: lacks the tensor for '{key}'")
        if tensors[key].shape != parameter.shape:
            have, want = tuple(tensors[key].shape), tuple(parameter.shape)
            raise InputError(f"{where}: '{key}' has shape {have}, the encoder needs {want}")
    module.load_state_dict(tensors, strict=True)


def put_below(module: torch.nn.Module, tensors: dict[str, Tensor], start: str, where: str) -> None:
    """The same of what `tensors` have below a prefix, which is taken out of them."""
    put(module, {key: tensors.pop(start + key) for key in module.state_dict() if start + key in tensors}, where)


def save_adapter(
    folder: Path,
    encoder: Encoder,
    name: str,
    pickle: bool = False,
    save_as: str | None = None,
    packed: bool = False,
) -> None:
    """Write an adapter as `adapters` 1.3 reads it; `pickle` adds the older weight file beside.

    `packed`: without its zeros, in a file that only madx reads.
    """
    adapter = encoder.adapters.get(name)
    name = save_as or name
    folder.mkdir(parents=True, exist_ok=True)
    names = peer_names(encoder, adapter, name)
    tensors = {names[key]: tensor for key, tensor in adapter.state_dict().items()}
    if adapter.spec.ln_before:  # the peer stores this norm twice
        for key in [k for k in tensors if ".adapter_down.0." in k]:
            tensors[key.replace("adapter_down.0", "adapter_norm_before")] = tensors[key].clone()
    if packed:
        save_tensors(folder / PACKED, pack(tensors))
    else:
        save_weights(folder, tensors, WEIGHTS, PICKLE if pickle else None)
    about = {**about_encoder(encoder, name), "config": config_from_spec(adapter.spec, encoder.width)}
    write_json(folder / CONFIG, about)


# ----------------------------------------------------------------------------------------------------- helpers


def save_weights(folder: Path, tensors: dict[str, Tensor], safetensors: str, pickle: str | None) -> None:
    save_tensors(folder / safetensors, tensors)
    if pickle:
        save_pickle(folder / pickle, tensors)


def about_encoder(encoder: Encoder, name: str) -> dict[str, Any]:
    return {
        "name": name, "version": VERSION, "model_type": encoder.model_type, "hidden_size": encoder.width,
        "model_class": encoder.family.model_types[encoder.model_type], "model_name": without_place(encoder.ref.name),
    }  # fmt: skip


def _may_be_ignored(key: str, encoder: Encoder, spec: BottleneckSpec, name: str) -> bool:
    """Aliases that the peer stores twice, and layers that this load leaves out."""
    if spec.ln_before and ".adapter_norm_before." in key:
        return True
    if f".adapters.{name}." not in key and f".invertible_adapters.{name}." not in key:
        return False
    for layer in spec.leave_out:
        for site in encoder.family.site_names.values():
            if key.startswith(f"{encoder.prefix}.{site.format(layer)}.adapters."):
                return True
    return ".invertible_adapters." in key and spec.invertible is None
