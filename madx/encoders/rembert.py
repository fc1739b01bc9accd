"""RemBERT (Chung et al. 2021, arXiv 2010.12821): BERT's layers between embeddings of another width on either side.

Its decoder isn't tied to the input embeddings and is wider than they are. An invertible adapter works on the input
embeddings (E wide, before they are mapped to the layers' width), and its inverse would lead back to them: in front of
this decoder there is nothing to undo, so there is none. Stage one trains the invertible adapter by its forward alone.
"""

from typing import Any

from madx.encoders import bert
from madx.encoders.family import Family
from madx.encoders.lm_head import LmHead


def lm_head(model: Any) -> LmHead:
    head = model.cls.predictions
    decoder = head.decoder
    return LmHead([head.dense, head.activation, head.LayerNorm], decoder.weight, decoder.bias, tied=False)


def embedding_width(config: Any) -> int:
    return int(config.input_embedding_size)


REMBERT = Family(
    model_types={"rembert": None},
    layers=bert.LAYERS,
    site_names=bert.SITE_NAMES,
    linears=bert.LINEARS,
    sites=bert.sites,
    embeddings=bert.embeddings,
    last_layer=bert.last_layer,
    lm_head=lm_head,
    lm_head_format=None,
    has_types=True,
    embedding_width=embedding_width,
)
