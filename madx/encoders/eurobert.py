"""EuroBERT: Llama-shaped pre-norm layers; its masked-LM head is the decoder alone."""

from typing import Any

from torch import nn

from madx.encoders.lm_head import LmHead
from madx.encoders.rotary import replace_rotation
from madx.encoders.sites import LastLayer, PreNorm, Site

MODEL_TYPES = {"eurobert": None}  # the peer doesn't know it
LAYERS = "layers"
SITE_NAMES = {"attention": "layers.{}.attention_adapters", "ffn": "layers.{}.output_adapters"}


def sites(base: Any) -> list[Site]:
    replace_rotation(base)
    found: list[Site] = []
    for i, layer in enumerate(base.layers):
        attention, norm = layer.self_attn, layer.post_attention_layernorm
        found.append(PreNorm(i, "attention", inside=attention, added=attention.o_proj, norm=norm))
        found.append(PreNorm(i, "ffn", inside=layer.mlp, added=layer.mlp.down_proj))
    return found


def embeddings(base: Any) -> nn.Module:
    module: nn.Module = base.embed_tokens
    return module


def last_layer(base: Any) -> LastLayer:
    return LastLayer(base.layers[-1].mlp, at="around")


def lm_head(model: Any) -> LmHead:
    return LmHead([], model.lm_head.weight, None)
