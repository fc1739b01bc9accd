"""Where adapters attach: two shapes of hook, and nothing of a model's forward is copied.

Post-norm (BERT, RoBERTa, XLM-R, DistilBERT, DeBERTa):  y = LN(x0 + r), replaced as a whole.
Pre-norm (ModernBERT, EuroBERT):                         stream += x0,  x0 replaced.
With no adapter active at a site the hooks return nothing and the model is bitwise the base.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from madx.adapters.bank import AdapterBank
from madx.adapters.compose import Passing
from madx.adapters.spec import Place

Positions = tuple[Tensor, Tensor]  # rows and columns of a batch, M each


def _first(value: Any) -> Tensor:
    tensor: Tensor = value[0] if isinstance(value, tuple) else value
    return tensor


class PostNorm:
    """`added` gives x0; argument `position` of `residual`'s call is r; `norm` is the sub-layer's LayerNorm."""

    def __init__(
        self, layer: int, place: Place, *, added: nn.Module, residual: nn.Module, position: int, norm: nn.Module
    ) -> None:
        self.layer, self.place = layer, place
        self.added, self.residual, self.position, self.norm = added, residual, position, norm

    def attach(self, bank: AdapterBank) -> None:
        caught: dict[str, Tensor] = {}

        def catch_residual(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if bank.acts(self.layer, self.place):
                values = [*args, *kwargs.values()]
                caught["r"] = values[self.position]

        def catch_added(_: nn.Module, args: Any, output: Any) -> None:
            if bank.acts(self.layer, self.place):
                caught["x0"] = _first(output)

        def replace(norm: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            if not bank.acts(self.layer, self.place):
                return None
            through = Passing(caught.pop("x0"), caught.pop("r"), base=output)
            # `forward`: the norm itself, without this hook
            return bank.output(self.layer, self.place, through, before=norm.forward, after=norm.forward)

        self.residual.register_forward_pre_hook(catch_residual, with_kwargs=True)
        self.added.register_forward_hook(catch_added)
        self.norm.register_forward_hook(replace)


class PreNorm:
    """`inside` is the sub-layer, whose input (normed) is r; `added`, its last module, gives x0.

    At the attention site an adapter with original_ln_before uses `norm`, the layer's own next norm. (The peer uses the
    last layer's in every layer, a late-binding closure.)
    """

    def __init__(
        self, layer: int, place: Place, *, inside: nn.Module, added: nn.Module, norm: nn.Module | None = None
    ) -> None:
        self.layer, self.place = layer, place
        self.inside, self.added, self.norm = inside, added, norm

    def attach(self, bank: AdapterBank) -> None:
        caught: dict[str, Tensor] = {}

        def catch_residual(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if bank.acts(self.layer, self.place):
                caught["r"] = args[0] if args else kwargs["hidden_states"]

        def replace(_: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            if not bank.acts(self.layer, self.place):
                return None
            before = None if self.norm is None else self.norm.forward
            return bank.output(self.layer, self.place, Passing(output, caught.pop("r")), before=before, after=None)

        self.inside.register_forward_pre_hook(catch_residual, with_kwargs=True)
        self.added.register_forward_hook(replace)


Site = PostNorm | PreNorm


class LastLayer:
    """From `start` on, the last layer computes only the positions that are read.

    Exact: after its attention scores a layer works on every position alone. Post-norm: all that comes after the `input`
    (or `output`) of `start` sees (1, M, D) instead of (B, T, D). Pre-norm (`around`): the residual is added outside of
    `start`, so that its output goes back to its places, and the others hold nothing that is meant to be read.
    """

    def __init__(self, start: nn.Module, at: Literal["input", "output", "around"]) -> None:
        self.start, self.at = start, at
        self.read: Positions | None = None

    def attach(self) -> None:
        shape: dict[str, torch.Size] = {}

        def keep_input(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            if self.read is None:
                return None
            shape["BTD"] = args[0].shape
            return tuple(arg[self.read][None] for arg in args)

        def keep_output(_: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            return None if self.read is None else output[self.read][None]

        def put_back(_: nn.Module, args: Any, output: Tensor) -> Tensor | None:
            if self.read is None:
                return None
            return output.new_zeros(shape["BTD"]).index_put(self.read, output[0])

        if self.at == "output":
            self.start.register_forward_hook(keep_output)
            return
        self.start.register_forward_pre_hook(keep_input, prepend=True)  # before the sites' hooks
        if self.at == "around":
            self.start.register_forward_hook(put_back)
