"""AdapterHub's LoRA and (IA)^3 (`architecture: "lora"`, `adapters` 1.3.0), read in; PEFT's folders are written instead.

The peer's (IA)^3 scales what the feed-forward block's first matrix gives, before the activation; the paper's and PEFT's
scales what the second is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from madx.adapters.beside import LowRank, Scaled, ScaledInput, new_gate
from madx.adapters.spec import Matrix
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.linears import LinearParts
from madx.formats.adapterhub import PICKLE, WEIGHTS, put_below
from madx.formats.tensors import read_tensors

ATTENTION: dict[str, Matrix] = {"q": "query", "k": "key", "v": "value"}
# what would change the numbers, and its value where it doesn't
PLAIN = {"use_gating": False, "use_dora": False, "vera_b": None, "vera_d": None}


def load_peer_lora(folder: Path, encoder: Encoder, config: dict[str, Any], name: str, load_as: str) -> None:
    """Put the folder's LoRA `name` into the encoder, frozen. Raises InputError for what madx can't compute."""
    put_lora(encoder, config, name, load_as, read_tensors(folder, WEIGHTS, PICKLE), str(folder))


def put_lora(
    encoder: Encoder,
    config: dict[str, Any],
    name: str,
    load_as: str,
    tensors: dict[str, Tensor],
    where: str,
    gated: bool = False,
) -> None:
    """`gated`: with UniPELT's gates, which stand in a union alone."""
    for key, plain in {**PLAIN, "use_gating": gated}.items():
        if config.get(key, plain) != plain:
            raise InputError(f"{where}: {key} = {config[key]!r} is not supported; plain LoRA and IA3 are")
    tensors = {key.removeprefix(encoder.prefix + "."): tensor for key, tensor in tensors.items()}
    left_out = config.get("leave_out") or []
    parts: dict[str, LowRank | Scaled | ScaledInput] = {}
    for path, linear in encoder.linears(*_matrices(config)).items():
        if int(path.removeprefix(encoder.family.layers + ".").split(".")[0]) in left_out:
            continue
        own = [tensors.pop(f"{path}.loras.{name}.{which}", None) for which in ("lora_A", "lora_B")]
        parts[path] = part = _part(linear, own[0], own[1], config, f"{where}: '{path}'")
        if gated and isinstance(part, LowRank):
            part.gate = new_gate(linear.in_features)
            put_below(part.gate, tensors, f"{path}.loras.{name}.gate.", where)
    if tensors:
        raise InputError(f"{where}: unexpected tensor '{next(iter(tensors))}'")
    encoder.changes[load_as] = LinearParts(encoder.base, parts).to(encoder.device).requires_grad_(False)


def lora_config(encoder: Encoder, parts: LinearParts, where: str) -> dict[str, Any]:
    """AdapterHub's of a plain LoRA. Raises InputError for what it has no name for."""
    layers = [encoder.family.layers + f".{layer}." for layer in range(encoder.num_layers)]
    inside = {path.removeprefix(start) for path in parts.by_path for start in layers if path.startswith(start)}
    linears = encoder.family.linears
    matrices = [matrix for matrix, path in linears.items() if path in inside]
    ranks = {(len(p.a_RI), p.scale) for p in parts.by_path.values() if isinstance(p, LowRank)}
    plain = all(isinstance(part, LowRank) for part in parts.by_path.values())
    gated = any(isinstance(part, LowRank) and part.gate is not None for part in parts.by_path.values())
    if not plain or len(ranks) > 1 or linears["query"] == linears["key"]:
        raise InputError(f"{where}: AdapterHub's format knows plain LoRAs of one rank on separate matrices alone")
    ((rank, scale),) = ranks
    return {
        "architecture": "lora", "r": rank, "alpha": scale * rank, "composition_mode": "add", "dropout": 0.0,
        "attn_matrices": [letter for letter, matrix in ATTENTION.items() if matrix in matrices],
        "selfattn_lora": any(matrix in ATTENTION.values() for matrix in matrices),
        "intermediate_lora": "intermediate" in matrices, "output_lora": "output" in matrices, "leave_out": [],
        "init_weights": "lora", "init_weights_seed": None, "dtype": None, **PLAIN, "use_gating": gated,
    }  # fmt: skip


def lora_tensors(encoder: Encoder, parts: LinearParts, name: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path, part in parts.by_path.items():
        assert isinstance(part, LowRank)
        start = f"{encoder.prefix}.{path}.loras.{name}."
        found |= {start + "lora_A": part.a_RI, start + "lora_B": part.b_OR}
        if part.gate is not None:
            found |= {f"{start}gate.{key}": tensor for key, tensor in part.gate.state_dict().items()}
    return found


def _matrices(config: dict[str, Any]) -> list[Matrix]:
    found = [ATTENTION[letter] for letter in config.get("attn_matrices", ()) if letter in ATTENTION]
    found = found if config.get("selfattn_lora", True) else []
    if config.get("intermediate_lora"):
        found.append("intermediate")
    if config.get("output_lora"):
        found.append("output")
    return found


def _part(
    linear: nn.Linear, a: Tensor | None, b: Tensor | None, config: dict[str, Any], where: str
) -> LowRank | Scaled:
    outputs = linear.out_features
    rank, alpha = _number(config, "r", where), _number(config, "alpha", where)
    if b is None or b.shape != (outputs, rank):
        raise InputError(f"{where}: not the tensors of a LoRA of this encoder")
    if config.get("composition_mode", "add") == "scale":
        factors = Scaled(outputs)
        factors.l_O.data.copy_(alpha * b[:, 0])
        return factors
    if a is None or a.shape != (rank, linear.in_features):
        raise InputError(f"{where}: not the tensors of a LoRA of this encoder")
    part = LowRank(linear.in_features, outputs, int(rank), alpha / rank)
    part.a_RI.data.copy_(a)
    part.b_OR.data.copy_(b)
    return part


def _number(config: dict[str, Any], key: str, where: str) -> float:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise InputError(f"{where}: {key} can't be {value!r}")
    return value
