"""EuroBERT: Llama-shaped pre-norm layers; its masked-LM head is the decoder alone."""

from typing import Any

from torch import nn

from madx.adapters.spec import Matrix
from madx.encoders.family import Family
from madx.encoders.lm_head import LmHead
from madx.encoders.rotary import replace_rotation
from madx.encoders.sites import LastLayer, PreNorm, Site

LINEARS: dict[Matrix, str] = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "intermediate": "mlp.up_proj",
    "output": "mlp.down_proj",
}


def sites(base: Any) -> list[Site]:
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


def prepare(base: Any) -> None:
    replace_rotation(layer.self_attn for layer in base.layers)


EUROBERT = Family(
    model_types={"eurobert": None},
    layers="layers",
    site_names={"attention": "layers.{}.attention_adapters", "ffn": "layers.{}.output_adapters"},
    linears=LINEARS,
    sites=sites,
    embeddings=embeddings,
    last_layer=last_layer,
    lm_head=lm_head,
    lm_head_format=None,
    rotary=True,
    prepare=prepare,
)
