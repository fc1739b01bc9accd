"""BERT, mBERT, RoBERTa, XLM-R and XLM-R XL: post-norm layers with `attention.output` and `output`."""

from torch import nn

from madx.encoders.lm_head import LmHead
from madx.encoders.sites import PostNorm, PreNorm, Site

MODEL_TYPES = {
    "bert": "BertAdapterModel",
    "roberta": "RobertaAdapterModel",
    "xlm-roberta": "XLMRobertaAdapterModel",
    "xlm-roberta-xl": None,
}
SITE_NAMES = {"attention": "encoder.layer.{}.attention.output", "ffn": "encoder.layer.{}.output"}


def sites(base: nn.Module) -> list[Site]:
    found: list[Site] = []
    for i, layer in enumerate(base.encoder.layer):  # type: ignore[union-attr, arg-type]
        if not hasattr(layer.output, "LayerNorm"):  # XL normalises first
            found.append(PreNorm(i, "ffn", inside=layer.intermediate, added=layer.output.dense))
            continue
        for place, block in (("attention", layer.attention.output), ("ffn", layer.output)):
            found.append(
                PostNorm(i, place, added=block.dropout, residual=block, position=1, norm=block.LayerNorm)  # type: ignore[arg-type]
            )
    return found


def embeddings(base: nn.Module) -> nn.Module:
    return base.embeddings  # type: ignore[return-value]


def lm_head(model: nn.Module) -> LmHead:
    if hasattr(model, "cls"):
        predictions = model.cls.predictions
        return LmHead([predictions.transform], predictions.decoder)  # type: ignore[union-attr]
    head = model.lm_head
    return LmHead([head.dense, nn.functional.gelu, head.layer_norm], head.decoder)  # type: ignore[union-attr, list-item]
