"""BERT and mBERT: post-norm layers with `attention.output` and `output`."""

from typing import Any

from torch import nn

from madx.adapters.spec import Matrix, Place
from madx.encoders.family import Family, StaticHead, flat_heads
from madx.encoders.lm_head import LmHead, LmShape
from madx.encoders.sites import LastLayer, PostNorm, Site

LAYERS = "encoder.layer"
SITE_NAMES: dict[Place, str] = {"attention": "encoder.layer.{}.attention.output", "ffn": "encoder.layer.{}.output"}
LINEARS: dict[Matrix, str] = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
}


def sites(base: Any) -> list[Site]:
    found: list[Site] = []
    for i, layer in enumerate(base.encoder.layer):
        blocks: tuple[tuple[Place, Any], ...] = (("attention", layer.attention.output), ("ffn", layer.output))
        for place, block in blocks:
            found.append(PostNorm(i, place, added=block.dropout, residual=block, position=1, norm=block.LayerNorm))
    return found


def embeddings(base: Any) -> nn.Module:
    module: nn.Module = base.embeddings
    return module


def last_layer(base: Any) -> LastLayer:
    return LastLayer(base.encoder.layer[-1].attention.output, at="input")


def lm_head(model: Any) -> LmHead:
    predictions = model.cls.predictions
    transform = predictions.transform
    layers = [transform.dense, transform.transform_act_fn, transform.LayerNorm]
    shape = LmShape(activation_function=model.config.hidden_act)
    return LmHead(layers, predictions.decoder.weight, predictions.decoder.bias, shape)


BERT = Family(
    model_types={"bert": "BertAdapterModel"},
    layers=LAYERS,
    site_names=SITE_NAMES,
    linears=LINEARS,
    sites=sites,
    embeddings=embeddings,
    last_layer=last_layer,
    lm_head=lm_head,
    lm_head_format="flexible",
    static_heads={
        **flat_heads("Bert"),
        "BertForSequenceClassification": StaticHead("classification", {"classifier": 1}, use_pooler=True),
        "BertForMultipleChoice": StaticHead("multiple_choice", {"classifier": 1}, use_pooler=True),
    },
    has_types=True,
)
