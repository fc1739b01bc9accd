"""The masked-LM head in two parts, so that an invertible adapter's inverse can stand between them."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Decoder(NamedTuple):
    """Logits over the vocabulary, or over some rows of it: (R, D) and (R,)."""

    weight_RD: Tensor
    bias_R: Tensor | None


class LmHead:
    """transform (dense, activation, norm), then the decoder tied to the input embeddings, with a bias of its own."""

    def __init__(
        self, transform: Sequence[Callable[[Tensor], Tensor]], weight: nn.Parameter, bias: nn.Parameter | None
    ) -> None:
        self.transform, self.weight, self.bias = transform, weight, bias

    def __call__(
        self, states_MD: Tensor, unembed: Callable[[Tensor], Tensor], decoder: Decoder | None = None
    ) -> Tensor:
        """(M, D) hidden states to (M, V) logits, or to those of `decoder`'s rows.

        `unembed` is the inverse of the active invertible adapter.
        """
        for part in self.transform:
            states_MD = part(states_MD)
        weight, bias = decoder or (self.weight, self.bias)
        return nn.functional.linear(unembed(states_MD), weight, bias)

    def rows(self, ids_R: Tensor) -> Decoder:
        """The decoder of these tokens alone, as it is now."""
        return Decoder(self.weight.detach()[ids_R], None if self.bias is None else self.bias.detach()[ids_R])

    def trainable(self) -> Iterator[nn.Parameter]:
        """What stage one trains of it: dense and norm. The tied decoder and its bias stay."""
        for part in self.transform:
            if isinstance(part, nn.Module):
                yield from part.parameters()
