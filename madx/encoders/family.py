"""What sets a family of encoders apart, as one value for each. Nothing about a family stands outside of its own module.

`config` is transformers' configuration, `model` its masked-LM model, `base` the encoder inside of that.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from madx.adapters.spec import Matrix, Place
from madx.encoders.lm_head import LmHead
from madx.encoders.sites import LastLayer, Site


@dataclass(frozen=True)
class StaticHead:
    """The task head of one of transformers' classes, as AdapterHub's flexible one (`adapters` 1.3.0, head_utils.py)."""

    head_type: str
    names: Mapping[str, int]  # its layers' names to the flexible head's indices
    layers: int = 1
    activation_function: str | None = None  # null where the class has none
    use_pooler: bool = False
    norm: bool = False


def flat_heads(prefix: str) -> dict[str, StaticHead]:
    """Token classification and question answering, one layer each, in every family that the peer knows."""
    return {
        f"{prefix}ForTokenClassification": StaticHead("tagging", {"classifier": 1}),
        f"{prefix}ForQuestionAnswering": StaticHead("question_answering", {"qa_outputs": 1}),
    }


def _hidden_size(config: Any) -> int:
    return int(config.hidden_size)


def _from_zero(embeddings: nn.Module, ids_BT: Tensor) -> Tensor:
    return torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)


@dataclass(frozen=True)
class Family:
    """Where adapters attach, how positions count, what the masked-LM head is, and what AdapterHub calls all that."""

    model_types: Mapping[str, str | None]  # and the peer's class; None: the peer doesn't know it
    layers: str  # the path of the layers' list in `base`
    site_names: Mapping[Place, str]  # AdapterHub's, by layer
    linears: Mapping[Matrix, str]  # their paths inside a layer; one path for several that are one matrix
    sites: Callable[[Any], list[Site]]  # of `base`
    embeddings: Callable[[Any], nn.Module]  # of `base`: what gives (B, T, E), which enters the first layer
    last_layer: Callable[[Any], LastLayer]  # of `base`
    lm_head: Callable[[Any], LmHead]  # of `model`
    lm_head_format: Literal["flexible", "static"] | None  # in which AdapterHub's format knows that head
    static_heads: Mapping[str, StaticHead] = field(default_factory=dict)  # transformers' classes by name
    has_types: bool = False  # segment ids mean something to it
    rotary: bool = False  # positions turn queries and keys; else a table of embeddings has them
    embedding_width: Callable[[Any], int] = _hidden_size  # E, from `config`
    first_position: Callable[[Any], int] = lambda config: 0  # from `config`: positions below hold no text
    positions: Callable[[nn.Module, Tensor], Tensor] = _from_zero  # of the tokens of a padded batch, (B, T)
    packed_mask: Mapping[str, None] | None = None  # what `base` takes as "no mask": a packed row needs none
    prepare: Callable[[Any], None] = lambda base: None  # what is done to `base` once, for speed
    # whether `config` had to be corrected, for a checkpoint with tensors that the model lacks: then it's loaded again
    corrected: Callable[[Any, Collection[str]], bool] = lambda config, unexpected: False
