"""DistilBERT: post-norm, with the norms beside the sub-layers."""

from torch import nn

from madx.encoders.lm_head import LmHead
from madx.encoders.sites import PostNorm, Site

MODEL_TYPES = {"distilbert": "DistilBertAdapterModel"}
SITE_NAMES = {"attention": "transformer.layer.{}.attention_adapters", "ffn": "transformer.layer.{}.output_adapters"}


def sites(base: nn.Module) -> list[Site]:
    found: list[Site] = []
    for i, layer in enumerate(base.transformer.layer):  # type: ignore[union-attr, arg-type]
        for place, block, norm in (
            ("attention", layer.attention, layer.sa_layer_norm),
            ("ffn", layer.ffn, layer.output_layer_norm),
        ):
            found.append(PostNorm(i, place, added=block, residual=block, position=0, norm=norm))  # type: ignore[arg-type]
    return found


def embeddings(base: nn.Module) -> nn.Module:
    return base.embeddings  # type: ignore[return-value]


def lm_head(model: nn.Module) -> LmHead:
    transform = [model.vocab_transform, model.activation, model.vocab_layer_norm]
    return LmHead(transform, model.vocab_projector)  # type: ignore[arg-type]
