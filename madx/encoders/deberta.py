"""DeBERTa v2 and v3, mDeBERTa: BERT's layers around disentangled attention."""

from collections.abc import Collection
from typing import Any

from madx.adapters.spec import Matrix
from madx.encoders import bert
from madx.encoders.family import Family, StaticHead, flat_heads
from madx.encoders.lm_head import LmHead, LmShape

POOLER = {"pooler.dense": 1, "classifier": 4}
LINEARS: dict[Matrix, str] = {
    "query": "attention.self.query_proj",
    "key": "attention.self.key_proj",
    "value": "attention.self.value_proj",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
}


def lm_head(model: Any) -> LmHead:
    if model.config.legacy:
        return bert.lm_head(model)
    head = model.lm_predictions.lm_head
    layers, shape = (
        [head.dense, head.transform_act_fn, head.LayerNorm],
        LmShape(activation_function=model.config.hidden_act),
    )
    return LmHead(layers, model.get_input_embeddings().weight, head.bias, shape)


def corrected(config: Any, unexpected: Collection[str]) -> bool:
    """The v3 checkpoints have a head of their own; transformers calls the other one legacy, and takes it unasked."""
    v3 = any("lm_predictions" in key for key in unexpected)
    if v3:
        config.legacy = False
    return v3


DEBERTA = Family(
    model_types={"deberta-v2": "DebertaV2AdapterModel"},
    layers=bert.LAYERS,
    site_names=bert.SITE_NAMES,
    linears=LINEARS,
    sites=bert.sites,
    embeddings=bert.embeddings,
    last_layer=bert.last_layer,
    lm_head=lm_head,
    lm_head_format="flexible",
    static_heads={
        **flat_heads("DebertaV2"),
        "DebertaV2ForSequenceClassification": StaticHead("classification", POOLER, 2, "gelu"),
        "DebertaV2ForMultipleChoice": StaticHead("multiple_choice", POOLER, 2, "gelu"),
    },
    corrected=corrected,
)
