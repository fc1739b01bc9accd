"""SparseAdapter: an adapter pruned before it is trained (He et al. 2022, arXiv 2210.04284).

Every weight of its matrices has a score; those below one threshold over all layers are zero from the first update
to the last. Biases stay. What is left is stored alone (formats/sparse.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from madx.adapters.bank import Adapter
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.sparse import farthest

if TYPE_CHECKING:
    from madx.methods.method import Method

# "snip": |theta dL/dtheta| on the first batch (Lee et al. 2019, arXiv 1810.02340)
Score = Literal["random", "magnitude", "snip"]


class PrunedAdapter(BottleneckAdapter):
    what: ClassVar[str] = "pruned adapter"
    sparsity: float = Field(ge=0, lt=1)  # the share of the matrices' weights that goes
    score: Score = "snip"

    def begin(self, encoder: Encoder, name: str, gradients: Callable[[], Mapping[str, Tensor]]) -> None:
        weights = matrices(encoder.adapters.get(name))
        masks = kept(self._scores(weights, gradients), 1 - self.sparsity)
        for key, weight in weights.items():
            weight.data.mul_(masks[key])
            # AdamW leaves an entry alone whose gradient was never other than zero
            weight.register_hook(masks[key].mul)  # type: ignore[no-untyped-call]

    def _scores(
        self, weights: Mapping[str, nn.Parameter], gradients: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        match self.score:
            case "random":
                return {key: torch.rand(weight.shape).to(weight.device) for key, weight in weights.items()}
            case "magnitude":
                return {key: weight.detach().abs() for key, weight in weights.items()}
            case "snip":
                found = gradients()
                return {key: (weight.detach() * found[f"adapter.{key}"]).abs() for key, weight in weights.items()}

    def at_sparsity(self, sparsity: float) -> Method | None:
        return self.model_copy(update={"sparsity": sparsity})

    def count(self, encoder: Encoder) -> int:
        with torch.device("meta"):
            adapter = Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        pruned = sum(weight.numel() for weight in matrices(adapter).values())
        return super().count(encoder) - pruned + max(1, round((1 - self.sparsity) * pruned))

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_adapter(folder, encoder, name, save_as=save_as, packed=True)


def matrices(adapter: Adapter) -> dict[str, nn.Parameter]:
    """An adapter's weights that can be pruned, by their names in it."""
    return {key: p for key, p in adapter.named_parameters() if p.dim() == 2}


def kept(scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Masks of ones where the scores are highest, `share` of all entries over all tensors together."""
    places = farthest(dict(scores), share)
    masks = {key: torch.zeros_like(score) for key, score in scores.items()}
    for key, at in places.items():
        masks[key].view(-1)[at] = 1
    return masks


@torch.no_grad()
def prune_by_magnitude(adapter: Adapter, sparsity: float) -> None:
    """Zero the smallest weights of a finished adapter's matrices, by one threshold for all."""
    weights = matrices(adapter)
    for key, mask in kept({key: weight.detach().abs() for key, weight in weights.items()}, 1 - sparsity).items():
        weights[key].mul_(mask)
