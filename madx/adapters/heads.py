"""Prediction heads, with AdapterHub's module order, so that tensors keep their names: `heads.{name}.{index}`.

For each of `layers`: Dropout, Linear and, but for the last, the activation; so 1 layer is `1.*`, 2 are `1.*` and `4.*`.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from madx.adapters.activations import activation
from madx.config import Frozen

HeadType = Literal["tagging", "classification", "multilabel_classification", "multiple_choice", "question_answering"]


class HeadSpec(Frozen):
    """What a head is, as AdapterHub's head_config.json says it."""

    head_type: HeadType
    num_labels: int = Field(
        2, ge=1, le=1_000_000
    )  # rows of the last layer; a multiple-choice head has one, whatever this says
    layers: int = Field(1, ge=1, le=64)
    activation_function: str | None = "tanh"
    dropout_prob: float | None = None
    use_pooler: bool = False
    bias: bool = True
    norm: bool = False  # ModernBERT's own: no bias in the dense layer, and a norm after its activation
    labels: tuple[str, ...] | None = None
    # of questions that may have no answer: what an answer's score may lack to the first position's; None: all have one
    null_threshold: float | None = Field(None, allow_inf_nan=False)


class Head(nn.Sequential):
    """Hidden states (B, T, D) to logits: (B, T, labels) for tagging and QA, else (B, labels) from the first token."""

    def __init__(self, spec: HeadSpec, width: int) -> None:
        outputs = 1 if spec.head_type == "multiple_choice" else spec.num_labels
        parts: list[nn.Module] = []
        for i in range(spec.layers):
            last = i == spec.layers - 1
            bias = spec.bias if last else not spec.norm
            parts += [nn.Dropout(spec.dropout_prob or 0.0), nn.Linear(width, outputs if last else width, bias=bias)]
            if not last and spec.activation_function:
                parts.append(activation(spec.activation_function))
            if not last and spec.norm:
                parts.append(nn.LayerNorm(width, bias=False))
        super().__init__(*parts)
        self.spec = spec
        for part in parts:
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    @property
    def reads_every_token(self) -> bool:
        return self.spec.head_type in ("tagging", "question_answering")

    def logits(self, hidden_BTD: Tensor, pooler: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """`pooler`: the encoder's own, for heads with use_pooler."""
        if self.reads_every_token:
            states = hidden_BTD
        else:
            states = pooler(hidden_BTD) if self.spec.use_pooler and pooler else hidden_BTD[:, 0]
        out: Tensor = self(states)
        return out


def tagging_loss(logits_BTL: Tensor, labels_BT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over real positions whose label isn't -100."""
    keep = labels_BT != -100
    if mask_BT is not None:
        keep = keep & mask_BT.bool()
    return nn.functional.cross_entropy(logits_BTL[keep], labels_BT[keep])


def span_loss(logits_BT2: Tensor, starts_B: Tensor, ends_B: Tensor) -> Tensor:
    """Mean of the two cross-entropies of an answer's first and last token."""
    start_BT, end_BT = logits_BT2.unbind(-1)
    length = start_BT.shape[1]
    return torch.stack(
        [
            nn.functional.cross_entropy(start_BT, starts_B.clamp(0, length), ignore_index=length),
            nn.functional.cross_entropy(end_BT, ends_B.clamp(0, length), ignore_index=length),
        ]
    ).mean()
