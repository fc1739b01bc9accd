"""What adapters compute at a site: one rule for plain stacks and nested setups, post-norm and pre-norm encoders.

x0: what the sub-layer adds to the stream. r: the stream that it is added to (pre-norm: the sub-layer's normed input).
An adapter enters with the norms and the residual that its own spec asks for; the last one says how to leave.
For MAD-X's stack: y = LN(s + A_l(LN s) + A_t(LN(s + A_l(LN s)))), s = x0 + r (Pfeiffer et al. 2020, section 3).

Every child starts from the state that its parent got, with its own norm before it: a stack inside another setup is that
stack alone, and so is a part of a batch or of a sequence. (The peer norms all children as the first one wants it, norms
stacks twice, leaves as the last child wants it, and divides an average by the number of its children a second time.)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.fusion import FusionLayer
from madx.adapters.setup import Average, BatchSplit, Fuse, Mix, Parallel, Setup, Split, Stack, leaves
from madx.adapters.spec import BottleneckSpec

Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SiteModules:
    """The modules of one site: adapters and fusions by name, None where one has nothing here, and the layer's norm."""

    bottleneck: Callable[[str], Bottleneck | None]
    fusion: Callable[[str], FusionLayer | None]
    mix: Callable[[str], Tensor]  # the weights of a mixture here, (n)
    before: Norm | None  # in front of an adapter with original_ln_before; None: h + r is not normed
    after: Norm | None  # where the encoder norms what it has added up (BERT); None: it doesn't (ModernBERT)

    def last(self, setup: Setup) -> BottleneckSpec | None:
        """Of the last adapter that has a module here."""
        found = (self.bottleneck(name) for name in reversed(leaves(setup)))
        return next((bottleneck.spec for bottleneck in found if bottleneck is not None), None)


class Passing(NamedTuple):
    """What passes through a sub-layer, (B, T, D) each."""

    x0: Tensor
    r: Tensor
    base: Tensor | None = None  # before(x0 + r), where it is known already

    def parts(self, sizes: list[int], dim: int) -> Iterator["Passing"]:
        base = (None,) * len(sizes) if self.base is None else torch.split(self.base, sizes, dim)
        return map(Passing, torch.split(self.x0, sizes, dim), torch.split(self.r, sizes, dim), base)


def composed_output(setup: Setup, site: SiteModules, through: Passing) -> Tensor:
    """The sub-layer's output with this setup in it; without `site.after`, what is added to the stream."""
    return _leave(setup, site, _run(setup, site, through.x0, through), through, None)


def _run(setup: Setup, site: SiteModules, h: Tensor, through: Passing) -> Tensor:
    match setup:
        case str():
            bottleneck = site.bottleneck(setup)
            return h if bottleneck is None else bottleneck(*_enter(bottleneck.spec, site, h, through))  # type: ignore[no-any-return]
        case Stack():
            for child in setup.children:
                h = _run(child, site, h, through)
            return h
        case Fuse():
            return _fuse(setup, site, h, through)
        case Average():
            pairs = zip(setup.weights, setup.children, strict=True)
            return torch.stack([weight * _run(child, site, h, through) for weight, child in pairs]).sum(0)
        case Mix():
            outputs = [_run(child, site, h, through) for child in setup.children]
            return torch.einsum("n,n...->...", site.mix(setup.name), torch.stack(outputs))
        case BatchSplit() | Parallel() | Split():
            sizes, dim = _cut(setup, h)
            parts = list(through.parts(sizes, dim))
            # x0 stays x0, so that each part knows that nothing came before it
            states = [part.x0 for part in parts] if h is through.x0 else torch.split(h, sizes, dim)
            each = zip(setup.children, states, parts, strict=True)
            return torch.cat([_run(child, site, state, part) for child, state, part in each], dim)


def _enter(spec: BottleneckSpec, site: SiteModules, h: Tensor, through: Passing) -> tuple[Tensor, Tensor | None]:
    """What an adapter works on and the residual that it adds.

    A parallel one runs beside the sub-layer, on its input; the sub-layer's own output is added once, when leaving.
    """
    if spec.parallel:
        return through.r, None
    residual = h
    if spec.original_ln_before:
        if spec.residual_before_ln == "post_add":
            residual = h + through.r
        if h is through.x0 and through.base is not None:
            h = through.base
        else:
            h = h + through.r if site.before is None else site.before(h + through.r)
    if spec.residual_before_ln is False:
        residual = h
    return h, residual


def _leave(setup: Setup, site: SiteModules, h: Tensor, through: Passing, below: BottleneckSpec | None) -> Tensor:
    """Back into the layer as the last adapter says, each part of a split by itself; `below`: the last one before."""
    match setup:
        case Stack():
            for n in reversed(range(len(setup.children))):
                if site.last(setup.children[n]) is not None:
                    before = site.last(Stack(*setup.children[:n])) or below
                    return _leave(setup.children[n], site, h, through, before)
        case BatchSplit() | Parallel() | Split():
            sizes, dim = _cut(setup, h)
            each = zip(setup.children, torch.split(h, sizes, dim), through.parts(sizes, dim), strict=True)
            return torch.cat([_leave(child, site, state, part, below) for child, state, part in each], dim)
    last = site.last(setup) or below
    if last is not None and last.parallel:
        h = h + through.x0
    if site.after is None or (last is not None and not last.original_ln_after):
        return h
    return site.after(h + through.r)


def _cut(setup: BatchSplit | Parallel | Split, h: Tensor) -> tuple[list[int], int]:
    """The sizes of the children's parts, and along which axis they lie."""
    count = len(setup.children)
    dim = 1 if isinstance(setup, Split) else 0
    sizes = [len(h) // count] * count if isinstance(setup, Parallel) else list(setup.sizes)
    if len(sizes) != count or sum(sizes) != h.shape[dim]:
        what = "sequences of the batch" if dim == 0 else "tokens of a sequence"
        raise ValueError(f"a setup splits into {sizes}, but there are {h.shape[dim]} {what}")
    return sizes, dim


def _fuse(setup: Fuse, site: SiteModules, h: Tensor, through: Passing) -> Tensor:
    fusion = site.fusion(setup.name)
    updates = []
    for child in setup.children:
        state = h
        *before, last = leaves(child)
        if not isinstance(child, str | Stack) or (before and not all(isinstance(c, str) for c in child.children)):  # type: ignore[union-attr]
            raise ValueError("Fuse takes adapters and stacks of adapters")
        for name in before:
            state = _run(name, site, state, through)
        bottleneck = site.bottleneck(last)
        if bottleneck is not None:
            updates.append(bottleneck.update(_enter(bottleneck.spec, site, state, through)[0]))
            lead = bottleneck
    if not updates:
        return h
    if fusion is None:
        raise KeyError(f"no fusion '{setup.name}' at a site where its adapters are")
    entered, residual = _enter(lead.spec, site, h, through)
    return fusion(h if fusion.spec.query_before_ln else entered, updates, residual)  # type: ignore[no-any-return]
