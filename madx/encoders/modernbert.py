"""ModernBERT and mmBERT: pre-norm. The adapter sees the sub-layer's normed input as r, as the peer's does."""

from torch import nn

from madx.encoders.lm_head import LmHead
from madx.encoders.sites import PreNorm, Site

MODEL_TYPES = {"modernbert": "ModernBertForMaskedLM"}
SITE_NAMES = {"attention": "layers.{}.attention_adapters", "ffn": "layers.{}.output_adapters"}


def sites(base: nn.Module) -> list[Site]:
    found: list[Site] = []
    for i, layer in enumerate(base.layers):  # type: ignore[arg-type]
        found.append(PreNorm(i, "attention", inside=layer.attn, added=layer.attn.Wo, norm=layer.mlp_norm))
        found.append(PreNorm(i, "ffn", inside=layer.mlp, added=layer.mlp.Wo))
    return found


def embeddings(base: nn.Module) -> nn.Module:
    return base.embeddings  # type: ignore[return-value]


def lm_head(model: nn.Module) -> LmHead:
    return LmHead([model.head], model.decoder)  # type: ignore[list-item, arg-type]
