"""What a nested setup computes at a site. A plain stack has its own, shorter path: `setup.stack_output`.

Every child starts from the state that its parent got, with its own norm before it: a stack inside another setup is that
stack alone. (The peer norms twice there, and divides an average by the number of its children a second time.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.fusion import FusionLayer
from madx.adapters.setup import (
    Average,
    BatchSplit,
    Fuse,
    Norm,
    Parallel,
    Setup,
    Split,
    Stack,
    enter,
    leave,
    leaves,
)


@dataclass(frozen=True)
class SiteModules:
    """The modules of one site, by name; None where an adapter has none here."""

    bottleneck: Callable[[str], Bottleneck | None]
    fusion: Callable[[str], FusionLayer | None]
    norm: Norm | None

    def present(self, setup: Setup) -> list[Bottleneck]:
        found = [self.bottleneck(name) for name in leaves(setup)]
        return [b for b in found if b is not None]


def composed_output(setup: Setup, site: SiteModules, x0: Tensor, r: Tensor, norm_after: Norm | None) -> Tensor:
    """The sub-layer's output with this setup in it; shapes and norms as in `stack_output`. (B, T, D) each."""
    last = site.present(setup)[-1].spec
    return leave(last, _run(setup, site, x0, r), x0, r, norm_after)


def _run(setup: Setup, site: SiteModules, h: Tensor, r: Tensor) -> Tensor:
    match setup:
        case str():
            bottleneck = site.bottleneck(setup)
            if bottleneck is None:
                return h
            if bottleneck.spec.parallel:
                return bottleneck(r, None)  # type: ignore[no-any-return]
            return bottleneck(*enter(bottleneck.spec, h, r, site.norm))  # type: ignore[no-any-return]
        case Stack():
            for child in setup.children:
                h = _run(child, site, h, r)
            return h
        case Fuse():
            return _fuse(setup, site, h, r)
        case Average():
            pairs = zip(setup.weights, setup.children, strict=True)
            return torch.stack([weight * _run(child, site, h, r) for weight, child in pairs]).sum(0)
        case BatchSplit():
            return _parts(setup.children, setup.sizes, site, h, r, dim=0)
        case Parallel():
            return _parts(setup.children, (len(h) // len(setup.children),) * len(setup.children), site, h, r, dim=0)
        case Split():
            return _parts(setup.children, setup.sizes, site, h, r, dim=1)


def _parts(
    children: tuple[Setup, ...], sizes: tuple[int, ...], site: SiteModules, h: Tensor, r: Tensor, dim: int
) -> Tensor:
    if len(sizes) != len(children) or sum(sizes) != h.shape[dim]:
        what = "sequences of the batch" if dim == 0 else "tokens of a sequence"
        raise ValueError(f"a setup splits into {list(sizes)}, but there are {h.shape[dim]} {what}")
    parts = zip(children, torch.split(h, list(sizes), dim), torch.split(r, list(sizes), dim), strict=True)
    return torch.cat([_run(child, site, part, part_r) for child, part, part_r in parts], dim)


def _fuse(setup: Fuse, site: SiteModules, h: Tensor, r: Tensor) -> Tensor:
    fusion = site.fusion(setup.name)
    updates = []
    for child in setup.children:
        state = h
        *before, last = leaves(child)
        if not isinstance(child, str | Stack) or (before and not all(isinstance(c, str) for c in child.children)):  # type: ignore[union-attr]
            raise ValueError("Fuse takes adapters and stacks of adapters")
        for name in before:
            state = _run(name, site, state, r)
        bottleneck = site.bottleneck(last)
        if bottleneck is not None:
            updates.append(bottleneck.update(enter(bottleneck.spec, state, r, site.norm)[0]))
            lead = bottleneck
    if not updates:
        return h
    if fusion is None:
        raise KeyError(f"no fusion '{setup.name}' at a site where its adapters are")
    normed, residual = enter(lead.spec, h, r, site.norm)
    return fusion(h if fusion.spec.query_before_ln else normed, updates, residual)  # type: ignore[no-any-return]
