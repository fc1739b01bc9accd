"""The families of encoders that madx knows: a new one is a module and a line here."""

from madx.config import InputError
from madx.encoders.bert import BERT
from madx.encoders.deberta import DEBERTA
from madx.encoders.distilbert import DISTILBERT
from madx.encoders.eurobert import EUROBERT
from madx.encoders.family import Family
from madx.encoders.modernbert import MODERNBERT
from madx.encoders.rembert import REMBERT
from madx.encoders.roberta import ROBERTA

FAMILIES: tuple[Family, ...] = (
    BERT,
    ROBERTA,
    DISTILBERT,
    DEBERTA,
    MODERNBERT,
    EUROBERT,
    REMBERT,
)  # fmt: skip


def family_of(model_type: str, name: str) -> Family:
    """The family of a transformers `model_type`; `name` is the encoder's. Raises InputError for one unknown to madx."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(t for family in FAMILIES for t in family.model_types)
    raise InputError(f"model '{name}': its architecture '{model_type}' is not supported; supported: {known}")
