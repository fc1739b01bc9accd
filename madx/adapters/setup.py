"""Compositions of adapters, as plain data, and what a stack computes at a site.

x0: what the sub-layer adds to the stream. r: the stream it is added to. norm: the layer's own norm where the encoder
normalises after adding (BERT, XLM-R, DeBERTa), None where it doesn't (ModernBERT).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from madx.adapters.bottleneck import Bottleneck


@dataclass(frozen=True)
class Stack:
    """Adapters applied one after the other: Stack("quy", "ner") is language adapter, then task adapter."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def stack_output(
    adapters: Sequence[Bottleneck],
    x0: Tensor,
    r: Tensor,
    norm: Callable[[Tensor], Tensor] | None,
    base: Tensor | None = None,
) -> Tensor:
    """The output of a sub-layer with these adapters stacked in it.

    With norm: the layer's new output, LN included; `base` is LN(x0 + r) where the caller has it already.
    Without: what the sub-layer adds to the stream.
    For MAD-X's stack: y = LN(s + A_l(LN s) + A_t(LN(s + A_l(LN s)))), s = x0 + r (Pfeiffer et al. 2020, section 3).
    """
    h = x0
    for adapter in adapters:
        spec = adapter.spec
        if spec.parallel:
            # runs beside the sub-layer, on its input; the sub-layer's own output is added once, at the end
            h = adapter(r, None)
            continue
        residual = h
        if spec.original_ln_before:
            total = h + r
            if spec.residual_before_ln == "post_add":
                residual = total
            if norm is None:
                h = total
            else:
                h = base if h is x0 and base is not None else norm(total)
        if spec.residual_before_ln is False:
            residual = h
        h = adapter(h, residual)
    last = adapters[-1].spec
    if last.parallel:
        h = h + x0
    if norm is None:
        return h
    return norm(h + r) if last.original_ln_after else h
