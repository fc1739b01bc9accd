"""Compositions of adapters, as plain data, and what a stack computes at a site.

x0: what the sub-layer adds to the stream. r: the stream it is added to. norm: the layer's own norm where the encoder
normalises after adding (BERT, XLM-R, DeBERTa), None where it doesn't (ModernBERT).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.spec import BottleneckSpec


@dataclass(frozen=True)
class Stack:
    """One after the other: Stack("quy", "ner") is language adapter, then task adapter (MAD-X)."""

    children: tuple["Setup", ...]

    def __init__(self, *children: "Setup") -> None:
        object.__setattr__(self, "children", children)


@dataclass(frozen=True)
class Fuse:
    """AdapterFusion: attention over the updates of several adapters (Pfeiffer et al. 2021, eq. 3 to 6)."""

    children: tuple["Setup", ...]
    name: str

    def __init__(self, *children: "Setup", name: str | None = None) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "name", name or ",".join(last_leaf(child) for child in children))


@dataclass(frozen=True)
class Average:
    """The weighted mean of the adapters' outputs; weights as given, by default equal and of sum 1."""

    children: tuple["Setup", ...]
    weights: tuple[float, ...]

    def __init__(self, *children: "Setup", weights: Sequence[float] | None = None) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "weights", tuple(weights or [1 / len(children)] * len(children)))


@dataclass(frozen=True)
class BatchSplit:
    """The first `sizes[0]` sequences of a batch through the first child, and so on."""

    children: tuple["Setup", ...]
    sizes: tuple[int, ...]

    def __init__(self, *children: "Setup", sizes: Sequence[int]) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "sizes", tuple(sizes))


@dataclass(frozen=True)
class Parallel:
    """The whole batch through every child: B sequences become len(children) * B, child by child."""

    children: tuple["Setup", ...]

    def __init__(self, *children: "Setup") -> None:
        object.__setattr__(self, "children", children)


@dataclass(frozen=True)
class Split:
    """The first `sizes[0]` tokens of every sequence through the first child, and so on."""

    children: tuple["Setup", ...]
    sizes: tuple[int, ...]

    def __init__(self, *children: "Setup", sizes: Sequence[int]) -> None:
        object.__setattr__(self, "children", children)
        object.__setattr__(self, "sizes", tuple(sizes))


Composition = Stack | Fuse | Average | BatchSplit | Parallel | Split
Setup = str | Composition
Norm = Callable[[Tensor], Tensor]


def leaves(setup: Setup) -> list[str]:
    """The names of the adapters in a setup, in order."""
    return [setup] if isinstance(setup, str) else [name for child in setup.children for name in leaves(child)]


def last_leaf(setup: Setup) -> str:
    return leaves(setup)[-1]


def enter(
    spec: BottleneckSpec, h: Tensor, r: Tensor, norm: Norm | None, normed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What a sequential adapter works on and the residual that it adds; `normed` is norm(h + r) if it is known."""
    residual = h
    if spec.original_ln_before:
        if spec.residual_before_ln == "post_add":
            residual = h + r
        if normed is None:
            normed = h + r if norm is None else norm(h + r)
        h = normed
    if spec.residual_before_ln is False:
        residual = h
    return h, residual


def leave(last: BottleneckSpec, h: Tensor, x0: Tensor, r: Tensor, norm: Norm | None) -> Tensor:
    """Back into the layer, as the last adapter of the site says."""
    if last.parallel:
        h = h + x0
    if norm is None:
        return h
    return norm(h + r) if last.original_ln_after else h


def stack_output(
    adapters: Sequence[Bottleneck],
    x0: Tensor,
    r: Tensor,
    norm: Norm | None,
    base: Tensor | None = None,
) -> Tensor:
    """The output of a sub-layer with these adapters stacked in it.

    With norm: the layer's new output, LN included; `base` is LN(x0 + r) where the caller has it already.
    Without: what the sub-layer adds to the stream.
    For MAD-X's stack: y = LN(s + A_l(LN s) + A_t(LN(s + A_l(LN s)))), s = x0 + r (Pfeiffer et al. 2020, section 3).
    """
    h = x0
    for adapter in adapters:
        if adapter.spec.parallel:
            # runs beside the sub-layer, on its input; the sub-layer's own output is added once, at the end
            h = adapter(r, None)
        else:
            h = adapter(*enter(adapter.spec, h, r, norm, base if h is x0 else None))
    return leave(adapters[-1].spec, h, x0, r, norm)
