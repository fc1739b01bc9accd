"""ModernBERT and mmBERT: pre-norm. The adapter sees the sub-layer's normed input as r, as the peer's does."""

from typing import Any

from torch import nn

from madx.encoders.lm_head import LmHead
from madx.encoders.rotary import replace_rotation
from madx.encoders.sites import LastLayer, PreNorm, Site

MODEL_TYPES = {"modernbert": "ModernBertForMaskedLM"}
LAYERS = "layers"
SITE_NAMES = {"attention": "layers.{}.attention_adapters", "ffn": "layers.{}.output_adapters"}
# for packed sequences, which attend to themselves anyway; it would make one of all positions by all positions
NO_MASK = {"full_attention": None, "sliding_attention": None}


def sites(base: Any) -> list[Site]:
    replace_rotation(base)
    found: list[Site] = []
    for i, layer in enumerate(base.layers):
        found.append(PreNorm(i, "attention", inside=layer.attn, added=layer.attn.Wo, norm=layer.mlp_norm))
        found.append(PreNorm(i, "ffn", inside=layer.mlp, added=layer.mlp.Wo))
    return found


def embeddings(base: Any) -> nn.Module:
    module: nn.Module = base.embeddings
    return module


def last_layer(base: Any) -> LastLayer:
    return LastLayer(base.layers[-1].mlp, at="around")


def lm_head(model: Any) -> LmHead:
    return LmHead([model.head], model.decoder.weight, model.decoder.bias)
