"""A prompt in an encoder: trained vectors in front of every sequence's embeddings.

Lester et al. 2021, arXiv 2104.08691. They stand where the first layer reads, behind the embeddings' norm, as
AdapterHub's do: every layer computes them like tokens. Tokens keep their positions; where positions are rotary, the
prompt's are -P to -1. What a caller sees has no prompt in it: states come back for the tokens alone. A batch may be
padded or packed.

Shapes: B batch, T tokens, S sequences in a row (1 where they are padded), P prompt, E the embeddings' width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from madx.encoders.encoder import Encoder


class Places(NamedTuple):
    """Columns of a row that has S * P more than before."""

    tokens_T: Tensor  # where the tokens go
    prompts_N: Tensor  # where the prompts stand, N = S * P

    def spread(self, values_BT: Tensor, filling_N: Tensor) -> Tensor:
        out = values_BT.new_empty(len(values_BT), len(self.tokens_T) + len(self.prompts_N))
        out[:, self.tokens_T] = values_BT
        out[:, self.prompts_N] = filling_N.to(values_BT.dtype)
        return out


class PromptChange(nn.Module):
    """A change of the encoder, as changes.py has them."""

    def __init__(self, encoder: Encoder, length: int, after_first: bool = False) -> None:
        """`after_first`: behind each sequence's first token (AdapterHub's `prefix_after_bos`)."""
        super().__init__()
        self.length, self.after_first = length, after_first
        self.vectors = nn.Parameter(torch.empty(length, encoder.adapters.embedding_width).uniform_(-0.5, 0.5))
        self._encoder = (encoder,)  # a tuple, so that it isn't a part of this
        self._handles: list[RemovableHandle] = []
        self._places: Places | None = None

    def on(self) -> None:
        (encoder,) = self._encoder
        self._handles = [
            encoder.base.register_forward_pre_hook(self._make_room, with_kwargs=True),
            encoder.embeddings.register_forward_hook(self._put),  # after an invertible adapter
            encoder.base.register_forward_hook(self._take_out),
        ]

    def off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._places = None

    def drop(self) -> None:
        self.off()

    def _make_room(self, _: nn.Module, args: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        (encoder,) = self._encoder
        ids_BT, groups = inputs["input_ids"], inputs.get("groups")
        lengths = [ids_BT.shape[1]] if groups is None else [length for count, length in groups for _ in range(count)]
        self._places = places = self._places_of(lengths, ids_BT.device)
        positions_BT = inputs.get("position_ids")
        if positions_BT is None:
            positions_BT = encoder.family.positions(encoder.embeddings, ids_BT)
        own_N = torch.zeros_like(places.prompts_N)  # overwritten, where the embeddings hold positions
        if encoder.family.rotary:
            own_N = torch.arange(-self.length, 0, device=ids_BT.device).repeat(len(lengths))
        inputs = {
            **inputs,
            "input_ids": places.spread(ids_BT, torch.full_like(own_N, encoder.pad_id)),
            "position_ids": places.spread(positions_BT, own_N),
        }
        if isinstance(inputs.get("attention_mask"), Tensor):
            inputs["attention_mask"] = places.spread(inputs["attention_mask"], torch.ones_like(own_N))
        if inputs.get("token_type_ids") is not None:
            inputs["token_type_ids"] = places.spread(inputs["token_type_ids"], torch.zeros_like(own_N))
        if groups is not None:
            inputs["groups"] = [(count, length + self.length) for count, length in groups]
        if encoder.last_layer.read is not None:
            rows_M, columns_M = encoder.last_layer.read
            encoder.last_layer.read = (rows_M, places.tokens_T[columns_M])
        return args, inputs

    def _places_of(self, lengths: list[int], device: torch.device) -> Places:
        """Of sequences of these lengths, one after the other in a row."""
        length_S = torch.tensor(lengths, device=device)
        number_S = torch.arange(len(lengths), device=device)
        first_S = length_S.cumsum(0) - length_S
        tokens_T = torch.arange(sum(lengths), device=device) + self.length * (
            1 + torch.repeat_interleave(number_S, length_S)
        )
        start_S = first_S + self.length * number_S
        if self.after_first:
            tokens_T[first_S] = start_S
            start_S = start_S + 1
        return Places(tokens_T, (start_S[:, None] + torch.arange(self.length, device=device)).flatten())

    def _put(self, _: nn.Module, args: Any, embedded_BTE: Tensor) -> Tensor | None:
        if self._places is None:  # the embeddings by themselves
            return None
        at_N = self._places.prompts_N
        rows_NE = self.vectors.to(embedded_BTE.dtype).repeat(len(at_N) // self.length, 1)
        return embedded_BTE.index_copy(1, at_N, rows_NE.expand(len(embedded_BTE), -1, -1))

    def _take_out(self, _: nn.Module, args: Any, output: Any) -> Any:
        (encoder,) = self._encoder
        places, self._places = self._places, None
        if places is not None and (encoder.last_layer.read is None or encoder.last_layer.at == "around"):
            output.last_hidden_state = output.last_hidden_state[:, places.tokens_T]
        return output
