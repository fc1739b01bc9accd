"""BERT, mBERT, RoBERTa and XLM-R: post-norm layers with `attention.output` and `output`."""

from typing import Any

from torch import nn

from madx.adapters.spec import Place
from madx.encoders.lm_head import LmHead
from madx.encoders.sites import LastLayer, PostNorm, Site

MODEL_TYPES = {
    "bert": "BertAdapterModel",
    "roberta": "RobertaAdapterModel",
    "xlm-roberta": "XLMRobertaAdapterModel",
}
LAYERS = "encoder.layer"
SITE_NAMES = {"attention": "encoder.layer.{}.attention.output", "ffn": "encoder.layer.{}.output"}


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
    if hasattr(model, "cls"):
        predictions = model.cls.predictions
        return LmHead([predictions.transform], predictions.decoder.weight, predictions.decoder.bias)
    head = model.lm_head
    return LmHead([head.dense, nn.functional.gelu, head.layer_norm], head.decoder.weight, head.decoder.bias)
