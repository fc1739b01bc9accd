"""DeBERTa v2 and v3, mDeBERTa: BERT's layers around disentangled attention."""

from typing import Any

from madx.encoders import bert
from madx.encoders.lm_head import LmHead

MODEL_TYPES = {"deberta-v2": "DebertaV2AdapterModel"}
LAYERS, SITE_NAMES = bert.LAYERS, bert.SITE_NAMES
sites, embeddings, last_layer = bert.sites, bert.embeddings, bert.last_layer


def lm_head(model: Any) -> LmHead:
    if hasattr(model, "cls"):
        return bert.lm_head(model)
    # the v3 checkpoints' own head; transformers calls the other one legacy
    head = model.lm_predictions.lm_head
    return LmHead([head.dense, head.transform_act_fn, head.LayerNorm], model.get_input_embeddings().weight, head.bias)
