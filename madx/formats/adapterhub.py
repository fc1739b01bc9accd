"""AdapterHub folders in and out: one table of names, both directions.

The layout is that of `adapters` 1.3.0; what older versions wrote is read. A pickle is only ever opened weights-only.
Every refusal is one line that names the file and what is wrong with it.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from madx.adapters.bank import Adapter, site_of
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError, first_line, nearest
from madx.encoders.encoder import Encoder
from madx.formats.manifest import check
from madx.formats.tensors import save_tensors
from madx.store import write_json

VERSION = "adapters.1.3.0"
CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
LEGACY_NAMES = {  # plain substring replacement, as the peer does it
    "attention_text_task_adapters": "adapters",
    "attention_text_lang_adapters": "adapters",
    "layer_text_task_adapters": "adapters",
    "layer_text_lang_adapters": "adapters",
    "invertible_lang_adapters": "invertible_adapters",
}
# the file's key, ours; the peer's base-class default stands in for a key that is missing in the file
BASE_DEFAULTS: dict[str, Any] = {
    "original_ln_before": False, "original_ln_after": True, "ln_before": False, "ln_after": False,
    "residual_before_ln": True, "adapter_residual_before_ln": False, "is_parallel": False, "scaling": 1.0,
    "use_gating": False, "dropout": 0.0, "inv_adapter": None, "inv_adapter_reduction_factor": None,
    "cross_adapter": False, "leave_out": [], "init_weights": "bert", "init_weights_seed": None,
    "stochastic_depth": 0.0, "phm_layer": False, "phm_dim": 4, "phm_rank": 1, "phm_bias": True,
    "phm_c_init": "normal", "phm_init_range": 0.0001, "learn_phm": True, "factorized_phm_W": True,
    "shared_W_phm": False, "shared_phm_rule": True, "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
}  # fmt: skip
SAME_NAME = (
    "non_linearity", "original_ln_before", "original_ln_after", "ln_before", "ln_after", "residual_before_ln",
    "adapter_residual_before_ln", "use_gating", "dropout", "init_weights", "init_weights_seed",
)  # fmt: skip
MAX_HEADER = 64 * 1024 * 1024


def read_json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object")
    return value


def read_tensors(folder: Path, safetensors: str, pickle: str) -> dict[str, Tensor]:
    """Tensors from the safetensors file, else from the pickle, weights-only. Raises InputError."""
    path = folder / safetensors
    if path.exists():
        try:
            with open(path, "rb") as file:
                header = int.from_bytes(file.read(8), "little")
            if header > min(MAX_HEADER, path.stat().st_size):
                raise InputError(f"{path}: its header claims {header} bytes; the file is damaged or malicious")
            with safe_open(path, framework="pt") as opened:
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}
        except (SafetensorError, OSError, RuntimeError) as error:
            raise InputError(f"{path}: not a readable safetensors file: {first_line(error)}") from None
    else:
        path = folder / pickle
        if not path.exists():
            raise InputError(f"{folder}: has neither {safetensors} nor {pickle}")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the unpickler refuses
            raise InputError(
                f"{path}: refused, it holds more than weights or is damaged: {first_line(error)[:200]}"
            ) from None
        if not isinstance(tensors, dict) or not all(isinstance(k, str) for k in tensors):
            raise InputError(f"{path}: not a dictionary of named tensors")
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise InputError(f"{path}: '{key}' is a {type(tensor).__name__}, not a tensor")
        if not tensor.is_floating_point():
            raise InputError(f"{path}: '{key}' has type {tensor.dtype}; weights are floating point")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path}: '{key}' holds a value that is not finite")
    return {key: tensor.float() for key, tensor in tensors.items()}


# ------------------------------------------------------------------------------------------------ configuration


def spec_from_config(config: dict[str, Any], where: str, has_version: bool = True) -> BottleneckSpec:
    """The `config` of an adapter_config.json as our spec. Raises InputError for what madx can't compute."""
    if "architecture" in config and config["architecture"] is not None:
        raise InputError(
            f"{where}: architecture '{config['architecture']}' is not supported yet; bottleneck adapters are"
        )
    for key in ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity"):
        if key not in config:
            raise InputError(f"{where}: config lacks '{key}'")
    values = {**BASE_DEFAULTS, **config}
    legacy = values.get("invertible_adapter")
    if isinstance(legacy, dict):  # its non_linearity is ignored, as the peer ignores it
        values["inv_adapter"], values["inv_adapter_reduction_factor"] = (
            legacy.get("block_type"), legacy.get("reduction_factor"),
        )  # fmt: skip
    for key in ("cross_adapter", "phm_layer", "stochastic_depth"):
        if values[key]:
            raise InputError(f"{where}: '{key}' is not supported yet")
    if not has_version:  # before March 2022 the names meant something else
        renamed = {"gelu": "gelu_new", "gelu_orig": "gelu"}
        values["non_linearity"] = renamed.get(str(values["non_linearity"]), values["non_linearity"])
    placement = [p for p, key in (("attention", "mh_adapter"), ("ffn", "output_adapter")) if values[key]]
    factor = values["reduction_factor"]
    try:
        return BottleneckSpec(
            **{key: values[key] for key in SAME_NAME},
            reduction_factor={str(k): _number(v) for k, v in factor.items()}
            if isinstance(factor, dict)
            else _number(factor),
            placement=tuple(placement),  # type: ignore[arg-type]
            parallel=values["is_parallel"],
            scaling=values["scaling"] if values["scaling"] in ("learned", "channel") else _number(values["scaling"]),
            leave_out=tuple(values["leave_out"]),
            invertible=(
                InvertibleSpec(kind=values["inv_adapter"], reduction_factor=values["inv_adapter_reduction_factor"])
                if values["inv_adapter"]
                else None
            ),
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: config cannot be right: {reason(error)}") from None


def _number(value: Any) -> float:
    """A number as it is; the text "1.0" is none, as it is none to the peer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def config_from_spec(spec: BottleneckSpec, width: int) -> dict[str, Any]:
    """Our spec as AdapterHub's config, with every key, floats as floats."""
    factor = spec.reduction_factor if spec.bottleneck_size is None else width / spec.bottleneck_size
    return {
        **BASE_DEFAULTS,
        **{key: getattr(spec, key) for key in SAME_NAME},
        "reduction_factor": factor,
        "mh_adapter": "attention" in spec.placement,
        "output_adapter": "ffn" in spec.placement,
        "is_parallel": spec.parallel,
        "scaling": spec.scaling,
        "leave_out": list(spec.leave_out),
        "inv_adapter": spec.invertible.kind if spec.invertible else None,
        "inv_adapter_reduction_factor": spec.invertible.reduction_factor if spec.invertible else None,
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
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: 'name' is missing")
    if isinstance(config, str):
        config = _named_config(config, path)
    if not isinstance(config, dict):
        raise InputError(f"{path}: 'config' is missing")
    for key, have in (("model_type", encoder.model_type), ("hidden_size", encoder.width)):
        wanted = about.get(key)
        if wanted is not None and wanted != have:
            raise InputError(f"{path}: made for {key} {wanted}, but {encoder.ref.name} has {have}")
    tensors = read_tensors(folder, WEIGHTS, PICKLE)
    for old, new in LEGACY_NAMES.items():
        tensors = {key.replace(old, new): value for key, value in tensors.items()}
    spec = spec_from_config(config, str(path), has_version="version" in about)
    promised = any(".invertible_adapters." in f".{key}" for key in tensors)
    if about.get("type") == "text_task" and not promised:
        spec = spec.model_copy(update={"invertible": None})  # the old config always promised one
    spec = spec.model_copy(update={"leave_out": tuple(sorted({*spec.leave_out, *leave_out}))})
    final = load_as or name
    try:
        adapter = Adapter(spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {reason(error)}") from None
    if not any(key.startswith(encoder.prefix + ".") for key in tensors):
        tensors = {f"{encoder.prefix}.{key}": value for key, value in tensors.items()}
    wanted_names = {theirs: ours for ours, theirs in peer_names(encoder, adapter, name).items()}
    ours: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key in wanted_names:
            ours[wanted_names[key]] = tensor
        elif not _may_be_ignored(key, encoder, spec, name):
            raise InputError(f"{folder}: unexpected tensor '{key}'; the adapter is not for {encoder.ref.name}")
    put(adapter, ours, str(folder))
    try:
        encoder.adapters.put(final, adapter.to(encoder.device))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return final, adapter


def put(module: torch.nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Load a state exactly: every tensor, no other, the right shapes. Raises InputError."""
    for key, parameter in module.state_dict().items():
        if key not in tensors:
            raise InputError(f"{where}: lacks the tensor for '{key}'")
        if tensors[key].shape != parameter.shape:
            have, want = tuple(tensors[key].shape), tuple(parameter.shape)
            raise InputError(f"{where}: '{key}' has shape {have}, the encoder needs {want}")
    module.load_state_dict(tensors, strict=True)


def save_adapter(folder: Path, encoder: Encoder, name: str, pickle: bool = False, save_as: str | None = None) -> None:
    """Write an adapter as `adapters` 1.3 reads it; `pickle` adds the older weight file beside."""
    adapter = encoder.adapters.get(name)
    name = save_as or name
    folder.mkdir(parents=True, exist_ok=True)
    names = peer_names(encoder, adapter, name)
    tensors = {names[key]: tensor for key, tensor in adapter.state_dict().items()}
    if adapter.spec.ln_before:  # the peer stores this norm twice
        for key in [k for k in tensors if ".adapter_down.0." in k]:
            tensors[key.replace("adapter_down.0", "adapter_norm_before")] = tensors[key].clone()
    save_weights(folder, tensors, WEIGHTS, PICKLE if pickle else None)
    about = {**about_encoder(encoder, name), "config": config_from_spec(adapter.spec, encoder.width)}
    write_json(folder / CONFIG, about)


# ----------------------------------------------------------------------------------------------------- helpers


def save_weights(folder: Path, tensors: dict[str, Tensor], safetensors: str, pickle: str | None) -> None:
    save_tensors(folder / safetensors, tensors)
    if pickle:
        plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        torch.save(plain, folder / f".{pickle}.part")
        (folder / f".{pickle}.part").replace(folder / pickle)


def about_encoder(encoder: Encoder, name: str) -> dict[str, Any]:
    return {
        "name": name, "version": VERSION, "model_type": encoder.model_type, "hidden_size": encoder.width,
        "model_class": encoder.family.model_types[encoder.model_type], "model_name": encoder.ref.name,
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


def _named_config(name: str, path: Path) -> dict[str, Any]:
    """`"pfeiffer+inv"`, `"seq_bn_inv[reduction_factor=2]"`: a configuration by its name, old or new."""
    base = {"mh_adapter": False, "output_adapter": True, "reduction_factor": 16, "non_linearity": "relu",
            "original_ln_before": True}  # fmt: skip
    inverse = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
    double = {**base, "original_ln_before": False, "mh_adapter": True, "non_linearity": "swish"}
    parallel = {**base, "is_parallel": True, "original_ln_before": False, "reduction_factor": 2,
                "init_weights": "mam_adapter", "scaling": 4.0}  # fmt: skip
    known: dict[str, dict[str, Any]] = {
        "seq_bn": base, "pfeiffer": base, "seq_bn_inv": {**base, **inverse}, "pfeiffer+inv": {**base, **inverse},
        "double_seq_bn": double, "houlsby": double, "double_seq_bn_inv": {**double, **inverse},
        "houlsby+inv": {**double, **inverse}, "par_bn": parallel, "parallel": parallel,
        "scaled_par_bn": {**parallel, "scaling": "learned"}, "scaled_parallel": {**parallel, "scaling": "learned"},
    }  # fmt: skip
    parts = re.fullmatch(r"([^\[\]|\n]+)(?:\[(.*)\])?", name.strip())
    if parts is None or parts[1] not in known:
        raise InputError(f"{path}: configuration '{name}' is not supported yet; known: {', '.join(known)}")
    try:  # the peer's grammar: key=value, with Python's literals
        values = ast.literal_eval("{" + re.sub(r"(\w+)=", r"'\1':", parts[2] or "") + "}")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise InputError(f"{path}: configuration '{name}': not key=value, key=value in the brackets") from None
    keys = [*BASE_DEFAULTS, *base]
    for key in values:
        if key not in keys:
            raise InputError(f"{path}: configuration '{name}': unknown key '{key}'{nearest(str(key), keys)}")
    return {**known[parts[1]], **values}


def reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s*\[type=.*", "", " ".join(lines[1:3]) if len(lines) > 1 else lines[0] if lines else repr(error))
