"""Adapters in a transformers model that somebody has already: for a loop of one's own, `Trainer` or `pipeline`."""

from typing import Any

from torch import Tensor, nn

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef

NAME = "madx_adapters"  # what the adapters are called among the model's modules


def attach(model: nn.Module) -> Encoder:
    """Places for adapters in `model`, any transformers model of a family that madx knows; the encoder inside is frozen.

    Its heads stay as they are, and so does a pooler, which they alone read. The adapters are a module of the model, so
    that its optimizer, `state_dict` and `to` see them. Where it has a masked-LM head, the inverse of an active
    invertible adapter stands in front of the decoder. Raises InputError for another family, and for a model that has
    such places already.
    """
    if hasattr(model, NAME):
        raise InputError(f"{type(model).__name__}: it has adapters already; add more to the encoder that `attach` gave")
    config: Any = getattr(model, "config", None)
    if getattr(config, "model_type", None) is None:
        raise InputError(f"{type(model).__name__}: not a transformers model: it has no config that says its model_type")
    own = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    name = getattr(config, "_name_or_path", "") or config.model_type
    device = next(model.parameters()).device
    encoder = Encoder(model, EncoderRef(name=name, digest=""), device, pack=False)
    pooler = getattr(encoder.base, "pooler", None)
    behind = list(pooler.parameters()) if isinstance(pooler, nn.Module) else []
    inside = {id(parameter) for parameter in encoder.base.parameters()} - {id(parameter) for parameter in behind}
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(own[key] and id(parameter) not in inside)
    model.add_module(NAME, encoder.adapters)
    _unembed_before_the_decoder(encoder)
    return encoder


def _unembed_before_the_decoder(encoder: Encoder) -> None:
    decoder: nn.Module | None = encoder.model.get_output_embeddings()  # type: ignore[operator]

    def unembed(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (encoder.adapters.unembed(args[0]), *args[1:])

    if decoder is not None and encoder.lm_head.tied:
        decoder.register_forward_pre_hook(unembed)
