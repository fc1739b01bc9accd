"""LoRA and (IA)^3 in PEFT's folders, in and out: adapter_config.json and adapter_model.safetensors (peft 0.21).

Tensors are named `base_model.model.<path in the model>.<what>`. Written as for the bare encoder (`AutoModel`,
FEATURE_EXTRACTION); read from any model around it, whose own prefix (`roberta.`) and saved head are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from madx.adapters.beside import LowRank, Scaled, ScaledInput
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.linears import LinearParts
from madx.foreign import read_json_object
from madx.formats.manifest import without_place
from madx.formats.tensors import load_tensors, save_tensors
from madx.writing import write_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MODEL = "base_model.model."
# what would change the numbers, and its value where it doesn't
PLAIN = {"use_dora": False, "use_rslora": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {},
         "fan_in_fan_out": False, "lora_bias": False, "layer_replication": None}  # fmt: skip


def save_peft(folder: Path, encoder: Encoder, name: str) -> None:
    """A change of the encoder that stands beside its linear layers."""
    parts = linear_parts(encoder, name).by_path
    tensors: dict[str, Tensor] = {}
    for path, part in parts.items():
        match part:
            case LowRank():
                tensors |= {f"{path}.lora_A.weight": part.a_RI, f"{path}.lora_B.weight": part.b_OR}
            case Scaled():
                tensors[f"{path}.ia3_l"] = part.l_O[:, None]
            case ScaledInput():
                tensors[f"{path}.ia3_l"] = part.l_I[None]
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / WEIGHTS, {MODEL + key: tensor.detach().contiguous() for key, tensor in tensors.items()})
    about = {"base_model_name_or_path": without_place(encoder.ref.name), "task_type": "FEATURE_EXTRACTION",
             "inference_mode": True, "target_modules": sorted(parts)}  # fmt: skip
    write_json(folder / CONFIG, {**about, **_kind_of(parts)})


def _kind_of(parts: Mapping[str, nn.Module]) -> dict[str, Any]:
    first = next(iter(parts.values()))
    if isinstance(first, LowRank):
        rank = len(first.a_RI)
        return {"peft_type": "LORA", "r": rank, "lora_alpha": rank * first.scale, "lora_dropout": 0.0, "bias": "none"}
    inputs = sorted(path for path, part in parts.items() if isinstance(part, ScaledInput))
    return {"peft_type": "IA3", "feedforward_modules": inputs}


def load_peft(folder: Path, encoder: Encoder, name: str) -> LinearParts:
    """Put a PEFT folder's LoRA or (IA)^3 into the encoder, frozen. Raises InputError for what madx can't compute."""
    path = folder / CONFIG
    about = read_json_object(path)
    for key, plain in PLAIN.items():
        if about.get(key) not in (plain, None):
            raise InputError(f"{path}: {key} = {about[key]!r} is not supported; plain LoRA and IA3 are")
    kind = about.get("peft_type")
    if kind not in ("LORA", "IA3"):
        raise InputError(f"{path}: peft_type '{kind}' is not supported; LORA and IA3 are")
    grouped = _by_path(folder / WEIGHTS, encoder, _names(about.get("modules_to_save")))
    parts: dict[str, LowRank | Scaled | ScaledInput] = {}
    for at, tensors in grouped.items():
        linear = _linear(encoder, at, folder / WEIGHTS)
        part = _low_rank(linear, tensors, about, path) if kind == "LORA" else _scaled(linear, tensors)
        if part is None:
            raise InputError(f"{folder / WEIGHTS}: '{at}' has not the tensors of a {kind} of this encoder")
        parts[at] = part
    if not parts:
        raise InputError(f"{folder / WEIGHTS}: nothing in it is for {encoder.ref.name}")
    change = LinearParts(encoder.base, parts).to(encoder.device).requires_grad_(False)
    encoder.changes[name] = change
    return change


def linear_parts(encoder: Encoder, name: str) -> LinearParts:
    change = encoder.changes[name]
    assert isinstance(change, LinearParts)
    return change


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _by_path(path: Path, encoder: Encoder, heads: list[str]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each layer, by what they are; those of a saved head left out."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_tensors(path).items():
        inner = key.removeprefix(MODEL).removeprefix(encoder.prefix + ".")
        at, _, what = inner.removesuffix(".weight").rpartition(".")
        if what in ("lora_A", "lora_B", "ia3_l"):
            grouped.setdefault(at, {})[what] = tensor
        elif inner.split(".")[0] not in heads:
            raise InputError(f"{path}: unexpected tensor '{key}'")
    return grouped


def _linear(encoder: Encoder, at: str, where: Path) -> nn.Linear:
    try:
        linear = encoder.base.get_submodule(at)
    except AttributeError:
        linear = encoder.base
    if not isinstance(linear, nn.Linear):
        raise InputError(f"{where}: '{at}' is no linear layer of {encoder.ref.name}")
    return linear


def _low_rank(linear: nn.Linear, tensors: dict[str, Tensor], about: dict[str, Any], path: Path) -> LowRank | None:
    a, b = tensors.get("lora_A"), tensors.get("lora_B")
    alpha = about.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        raise InputError(f"{path}: lora_alpha is not a number")
    if a is None or b is None or a.dim() != 2 or b.dim() != 2 or not len(a):
        return None
    if a.shape != (len(a), linear.in_features) or b.shape != (linear.out_features, len(a)):
        return None
    part = LowRank(linear.in_features, linear.out_features, len(a), alpha / len(a))
    part.a_RI.data.copy_(a)
    part.b_OR.data.copy_(b)
    return part


def _scaled(linear: nn.Linear, tensors: dict[str, Tensor]) -> Scaled | ScaledInput | None:
    factors = tensors.get("ia3_l")
    if factors is not None and factors.shape == (linear.out_features, 1):
        out = Scaled(linear.out_features)
        out.l_O.data.copy_(factors[:, 0])
        return out
    if factors is not None and factors.shape == (1, linear.in_features):
        inner = ScaledInput(linear.in_features)
        inner.l_I.data.copy_(factors[0])
        return inner
    return None
