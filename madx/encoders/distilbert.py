"""DistilBERT: post-norm, with the norms beside the sub-layers."""

from typing import Any

from torch import nn

from madx.adapters.spec import Matrix, Place
from madx.encoders.family import Family, StaticHead, flat_heads
from madx.encoders.lm_head import LmHead, LmShape
from madx.encoders.sites import LastLayer, PostNorm, Site

HEAD = {"pre_classifier": 1, "classifier": 4}
LINEARS: dict[Matrix, str] = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
}


def sites(base: Any) -> list[Site]:
    found: list[Site] = []
    for i, layer in enumerate(base.transformer.layer):
        blocks: tuple[tuple[Place, Any, Any], ...] = (
            ("attention", layer.attention, layer.sa_layer_norm),
            ("ffn", layer.ffn, layer.output_layer_norm),
        )
        for place, block, norm in blocks:
            found.append(PostNorm(i, place, added=block, residual=block, position=0, norm=norm))
    return found


def embeddings(base: Any) -> nn.Module:
    module: nn.Module = base.embeddings
    return module


def last_layer(base: Any) -> LastLayer:
    return LastLayer(base.transformer.layer[-1].sa_layer_norm, at="output")


def lm_head(model: Any) -> LmHead:
    transform = [model.vocab_transform, model.activation, model.vocab_layer_norm]
    shape = LmShape(activation_function=model.config.activation)
    return LmHead(transform, model.vocab_projector.weight, model.vocab_projector.bias, shape)


DISTILBERT = Family(
    model_types={"distilbert": "DistilBertAdapterModel"},
    layers="transformer.layer",
    site_names={"attention": "transformer.layer.{}.attention_adapters", "ffn": "transformer.layer.{}.output_adapters"},
    linears=LINEARS,
    sites=sites,
    embeddings=embeddings,
    last_layer=last_layer,
    lm_head=lm_head,
    lm_head_format="flexible",
    static_heads={
        **flat_heads("DistilBert"),
        "DistilBertForSequenceClassification": StaticHead("classification", HEAD, 2, "relu"),
        "DistilBertForMultipleChoice": StaticHead("multiple_choice", HEAD, 2, "relu"),
    },
)
