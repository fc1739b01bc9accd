"""RoBERTa and XLM-R: BERT's layers; positions begin behind the padding's id, and padding isn't counted."""

from typing import Any

from torch import Tensor, nn

from madx.encoders import bert
from madx.encoders.family import Family, StaticHead, flat_heads
from madx.encoders.lm_head import LmHead


def lm_head(model: Any) -> LmHead:
    head = model.lm_head
    return LmHead([head.dense, nn.GELU(), head.layer_norm], head.decoder.weight, head.decoder.bias)


def first_position(config: Any) -> int:
    return int(config.pad_token_id) + 1


def positions(embeddings: Any, ids_BT: Tensor) -> Tensor:
    counted: Tensor = embeddings.create_position_ids_from_input_ids(ids_BT, embeddings.padding_idx)
    return counted


def _static_heads(prefix: str) -> dict[str, StaticHead]:
    first_token = {"classifier.dense": 1, "classifier.out_proj": 4}
    return {
        **flat_heads(prefix),
        f"{prefix}ForSequenceClassification": StaticHead("classification", first_token, 2, "tanh"),
        f"{prefix}ForMultipleChoice": StaticHead("multiple_choice", {"classifier": 1}, use_pooler=True),
    }


ROBERTA = Family(
    model_types={"roberta": "RobertaAdapterModel", "xlm-roberta": "XLMRobertaAdapterModel"},
    layers=bert.LAYERS,
    site_names=bert.SITE_NAMES,
    linears=bert.LINEARS,
    sites=bert.sites,
    embeddings=bert.embeddings,
    last_layer=bert.last_layer,
    lm_head=lm_head,
    lm_head_format="flexible",
    static_heads={**_static_heads("Roberta"), **_static_heads("XLMRoberta")},
    first_position=first_position,
    positions=positions,
)
