"""Prediction heads of AdapterHub folders in and out: flexible ones, and those of transformers' static classes.

A masked-LM head isn't a `Head`: it goes into the encoder's own, and is written from it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from madx.adapters.activations import activation
from madx.adapters.heads import Head, HeadSpec
from madx.config import InputError, validate
from madx.encoders.encoder import Encoder
from madx.encoders.families import FAMILIES
from madx.encoders.lm_head import LmHead, LmShape
from madx.foreign import checked_name, read_json_object
from madx.formats.adapter_config import reason
from madx.formats.adapterhub import CONFIG, about_encoder, put, save_weights
from madx.formats.tensors import read_tensors
from madx.writing import write_json

HEAD_CONFIG, HEAD_WEIGHTS, HEAD_PICKLE = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"

STATIC = {name: head for family in FAMILIES for name, head in family.static_heads.items()}


def load_any_head(folder: Path, encoder: Encoder) -> tuple[str, Head | None]:
    """The folder's head and its name; None for a masked-LM head, which then is the encoder's own. Raises InputError."""
    about = read_json_object(folder / HEAD_CONFIG)
    config = about.get("config")
    if isinstance(config, dict):
        masked_lm = config.get("head_type") == "masked_lm"
    else:
        masked_lm = str(about.get("model_class")).endswith("ForMaskedLM")
    return (load_lm_head(folder, encoder), None) if masked_lm else load_head(folder, encoder)


def save_any_head(folder: Path, encoder: Encoder, head: Head | None, name: str, pickle: bool = False) -> None:
    """What `load_any_head` gave."""
    if head is None:
        save_lm_head(folder, encoder, name, pickle)
    else:
        save_head(folder, encoder, head, name, pickle)


def load_head(folder: Path, encoder: Encoder) -> tuple[str, Head]:
    """A task head and its name. Raises InputError."""
    path = folder / HEAD_CONFIG
    about = read_json_object(path)
    name, config = about.get("name"), about.get("config")
    if isinstance(config, dict) and isinstance(name, str):
        prefix, names = f"heads.{name}.", None  # with the dot: "ner" is not "ner2"
    else:
        known = STATIC.get(str(about.get("model_class")))
        if known is None:
            raise InputError(f"{path}: the head of '{about.get('model_class')}' can't be read; known: {_known()}")
        names = known.names
        config = {**asdict(known), "label2id": about.get("label2id")}
        config["num_labels"] = about.get("num_labels") or len(about.get("label2id") or ()) or 2
        name, prefix = _adapter_name(folder), ""
    name = checked_name(name, path)
    labels = config.get("label2id")
    if labels and not (isinstance(labels, dict) and all(isinstance(i, int) for i in labels.values())):
        raise InputError(f"{path}: 'label2id' is not an object of numbers")
    tensors = read_tensors(folder, HEAD_WEIGHTS, HEAD_PICKLE)
    if names is not None:
        tensors = {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v
                   for k, v in tensors.items() if k.rpartition(".")[0] in names}  # fmt: skip
        config["bias"] = f"{max(names.values())}.bias" in tensors
    try:
        spec = HeadSpec(
            head_type=config["head_type"],
            num_labels=config.get("num_choices", config.get("num_labels", 2)),
            layers=config.get("layers", 1),
            activation_function=config.get("activation_function"),
            dropout_prob=config.get("dropout_prob"),
            use_pooler=config.get("use_pooler", False),
            bias=config.get("bias", True),
            norm=config.get("norm", False),
            labels=tuple(sorted(labels, key=labels.__getitem__)) if labels else None,
            null_threshold=about.get("null_threshold"),
        )
        head = Head(spec, encoder.width)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: config cannot be right: {reason(error)}") from None
    put(head, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, str(folder))
    return name, head.to(encoder.device)


def save_head(folder: Path, encoder: Encoder, head: Head, name: str, pickle: bool = False) -> None:
    """A task head as `adapters` 1.3 reads it: flexible, or as the static class's that alone has one with a norm."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = head.spec
    label2id = {label: i for i, label in enumerate(spec.labels)} if spec.labels else None
    if spec.norm:
        model_class, static = next((name, head) for name, head in STATIC.items() if head.norm)
        inside = {str(index): layer for layer, index in static.names.items()}
        tensors = {f"{inside[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in head.state_dict().items()}
        about = {**about_encoder(encoder, name), "name": None, "config": None, "model_class": model_class,
                 "num_labels": spec.num_labels, "label2id": label2id}  # fmt: skip
    else:
        tensors = {f"heads.{name}.{k}": v for k, v in head.state_dict().items()}
        config: dict[str, Any] = {
            "head_type": spec.head_type, "layers": spec.layers, "activation_function": spec.activation_function,
            "dropout_prob": spec.dropout_prob, "label2id": label2id,
        }  # fmt: skip
        config["num_choices" if spec.head_type == "multiple_choice" else "num_labels"] = spec.num_labels
        if spec.head_type in ("classification", "multilabel_classification", "multiple_choice"):
            config["use_pooler"] = spec.use_pooler
        if spec.head_type in ("classification", "multilabel_classification"):
            config["bias"] = spec.bias
        about = {**about_encoder(encoder, name), "config": config}
    if spec.null_threshold is not None:
        about["null_threshold"] = spec.null_threshold  # not in `config`: the peer takes no key there that it has not
    save_weights(folder, tensors, HEAD_WEIGHTS, HEAD_PICKLE if pickle else None)
    write_json(folder / HEAD_CONFIG, about)


# ---------------------------------------------------------------------------------------------- masked-LM heads


def load_lm_head(folder: Path, encoder: Encoder) -> str:
    """A masked-LM head, flexible or static, as the encoder's own; its name. Raises InputError.

    Its file always holds the output embeddings, which are the encoder's input embeddings. The peer copies them over
    those without a word; here other embeddings than the encoder's are refused.
    """
    path = folder / HEAD_CONFIG
    about = read_json_object(path)
    name, config = about.get("name"), about.get("config")
    if isinstance(config, dict):
        final = checked_name(name, path) if name is not None else _adapter_name(folder)
        head = _flexible_lm_head(config, encoder, path)
        names = _flexible_names(head, final)
        decoder_name = f"heads.{final}.{len(head.transform)}.weight"
    else:
        final = _adapter_name(folder)
        head = _own_lm_head(encoder, path)
        names = _static_names(encoder, head)
        decoder_name = names[-1].removesuffix("bias") + "weight"
    tensors = read_tensors(folder, HEAD_WEIGHTS, HEAD_PICKLE)
    for key, parameter in zip(names, _parameters(head), strict=True):
        tensor = tensors.get(key)
        if tensor is None and key.endswith(".decoder.bias"):  # a static class's other name for it
            tensor = tensors.get(key.replace(".decoder.bias", ".bias"))
        if tensor is None or tensor.shape != parameter.shape:
            have = "is missing" if tensor is None else f"has shape {tuple(tensor.shape)}"
            raise InputError(f"{folder}: '{key}' {have}; the encoder needs {tuple(parameter.shape)}")
        tensors[key] = tensor
    decoder, words = tensors.get(decoder_name), head.weight
    if decoder is not None and (
        decoder.shape != words.shape or not torch.allclose(decoder.to(words.device), words, rtol=1e-2, atol=1e-3)
    ):
        raise InputError(f"{folder}: its output embeddings aren't those of {encoder.ref.name}; made for another base")
    for key, parameter in zip(names, _parameters(head), strict=True):
        parameter.data.copy_(tensors[key])
    encoder.lm_head = head
    return final


def save_lm_head(folder: Path, encoder: Encoder, name: str, pickle: bool = False) -> None:
    """The encoder's masked-LM head as the peer's flexible one, or as its static class's where it has no other."""
    folder.mkdir(parents=True, exist_ok=True)
    _own_lm_head(encoder, folder)  # is there a format for it?
    head = encoder.lm_head
    if encoder.family.lm_head_format == "static":
        tensors: dict[str, Tensor] = dict(zip(_static_names(encoder, head), _parameters(head), strict=True))
        tensors["decoder.weight"] = head.weight
        about = {**about_encoder(encoder, name), "name": None, "config": None, "num_labels": 2, "label2id": None}
    else:
        tensors = dict(zip(_flexible_names(head, name), _parameters(head), strict=True))
        tensors[f"heads.{name}.{len(head.transform)}.weight"] = head.weight
        config = {
            "head_type": "masked_lm", **head.shape.model_dump(), "shift_labels": False,
            "vocab_size": encoder.vocabulary, "embedding_size": head.weight.shape[1], "label2id": None,
        }  # fmt: skip
        about = {**about_encoder(encoder, name), "config": config}
    save_weights(folder, {k: v.detach() for k, v in tensors.items()}, HEAD_WEIGHTS, HEAD_PICKLE if pickle else None)
    write_json(folder / HEAD_CONFIG, about)


def _own_lm_head(encoder: Encoder, where: Path) -> LmHead:
    """The model's own. Raises InputError where AdapterHub's format can't say it."""
    if encoder.family.lm_head_format is None:
        raise InputError(f"{where}: {encoder.model_type} has no masked-LM head that AdapterHub's format knows")
    return encoder.family.lm_head(encoder.model)


def _flexible_lm_head(config: dict[str, Any], encoder: Encoder, path: Path) -> LmHead:
    """A head of this configuration, in the model's own modules where those have its shape. Raises InputError."""
    own = _own_lm_head(encoder, path)
    if encoder.family.lm_head_format != "flexible":
        raise InputError(f"{path}: {encoder.model_type} has no flexible masked-LM head in AdapterHub's format")
    shape = validate(LmShape, {key: config[key] for key in LmShape.model_fields if key in config}, str(path))
    try:
        between = [activation(shape.activation_function)] if shape.activation_function else []
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    dense, _, norm = own.transform
    if shape.model_copy(update={"activation_function": None}) == LmShape(activation_function=None):
        return LmHead([dense, *between, norm], own.weight, own.bias, shape)
    transform: list[nn.Module] = []
    width, eps = encoder.width, float(norm.eps)  # type: ignore[arg-type]
    for _ in range(shape.layers - 1):
        transform += [nn.Linear(width, own.weight.shape[1]), *between]
        transform += [nn.LayerNorm(own.weight.shape[1], eps=eps)] if shape.layer_norm else []
        width = own.weight.shape[1]
    for part in transform:
        part.to(encoder.device).requires_grad_(False)
    bias = nn.Parameter(torch.zeros_like(own.weight[:, 0]), requires_grad=False) if shape.bias else None
    return LmHead(transform, own.weight, bias, shape)


def _parameters(head: LmHead) -> list[nn.Parameter]:
    """Of the layers in front of the decoder, then its bias."""
    return [*head.trainable(), *([] if head.bias is None else [head.bias])]


def _flexible_names(head: LmHead, name: str) -> list[str]:
    """The parameters' names, by their places in the head."""
    names = [f"heads.{name}.{i}.{key}" for i, part in enumerate(head.transform) for key, _ in part.named_parameters()]
    return names + ([] if head.bias is None else [f"heads.{name}.{len(head.transform)}.bias"])


def _static_names(encoder: Encoder, head: LmHead) -> list[str]:
    """The parameters' names in the transformers model; of the bias's two names the decoder's."""
    names: dict[int, str] = {}
    for key, parameter in encoder.model.named_parameters(remove_duplicate=False):
        if id(parameter) not in names or ".decoder.bias" in key:
            names[id(parameter)] = key
    return [names[id(parameter)] for parameter in _parameters(head)]


def _adapter_name(folder: Path) -> str:
    """A static head has no name: it gets that of the adapter beside it, as the peer names it, or its folder's."""
    if (folder / CONFIG).exists():
        name = read_json_object(folder / CONFIG).get("name")
        if name is not None:
            return checked_name(name, folder / CONFIG)
    return folder.name


def _known() -> str:
    return ", ".join(["flexible heads", *sorted(STATIC)])
