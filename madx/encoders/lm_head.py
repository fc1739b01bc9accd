"""The masked-LM head in two parts, so that an invertible adapter's inverse can stand between them."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn


class LmHead:
    """transform (dense, activation, norm), then the decoder tied to the input embeddings, with a bias of its own."""

    def __init__(
        self,
        transform: Sequence[Callable[[Tensor], Tensor]],
        decoder: Callable[[Tensor], Tensor],
        bias: nn.Parameter | None,
    ) -> None:
        self.transform, self.decoder, self.bias = transform, decoder, bias

    def __call__(self, states_MD: Tensor, unembed: Callable[[Tensor], Tensor]) -> Tensor:
        """(M, D) hidden states to (M, V) logits; `unembed` is the inverse of the active invertible adapter."""
        for part in self.transform:
            states_MD = part(states_MD)
        return self.decoder(unembed(states_MD))

    def trainable(self) -> Iterator[nn.Parameter]:
        """What stage one trains of it: dense and norm. The tied decoder and its bias stay."""
        for part in self.transform:
            if isinstance(part, nn.Module):
                yield from part.parameters()
