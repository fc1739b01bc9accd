"""ModernBERT and mmBERT: pre-norm. The adapter sees the sub-layer's normed input as r, as the peer's does."""

from typing import Any

from torch import nn

from madx.adapters.spec import Matrix
from madx.encoders.family import Family, StaticHead
from madx.encoders.lm_head import LmHead
from madx.encoders.rotary import replace_rotation
from madx.encoders.sites import LastLayer, PreNorm, Site

LINEARS: dict[Matrix, str] = {
    "query": "attn.Wqkv",
    "key": "attn.Wqkv",
    "value": "attn.Wqkv",
    "intermediate": "mlp.Wi",
    "output": "mlp.Wo",
}


def sites(base: Any) -> list[Site]:
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
    head = model.head
    return LmHead([head.dense, head.act, head.norm], model.decoder.weight, model.decoder.bias)


def prepare(base: Any) -> None:
    replace_rotation(layer.attn for layer in base.layers)


MODERNBERT = Family(
    model_types={"modernbert": "ModernBertForMaskedLM"},
    layers="layers",
    site_names={"attention": "layers.{}.attention_adapters", "ffn": "layers.{}.output_adapters"},
    linears=LINEARS,
    sites=sites,
    embeddings=embeddings,
    last_layer=last_layer,
    lm_head=lm_head,
    lm_head_format="static",  # the peer has no class with flexible heads for it
    static_heads={
        "ModernBertForTokenClassification": StaticHead(
            "tagging", {"head.dense": 1, "head.norm": 3, "classifier": 5}, 2, "gelu", norm=True
        )
    },
    # a sequence of a packed row attends to itself anyway; a mask would be one of all positions by all positions
    packed_mask={"full_attention": None, "sliding_attention": None},
    rotary=True,
    prepare=prepare,
)
