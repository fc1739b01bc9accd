"""Named changes of an encoder's own weights, beside its adapters: while one is active, theta = theta_0 + delta.

What was there comes back bit for bit when it is switched off. Several are added in the order in which they are active.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn


class Change(Protocol):
    """What can be done to an encoder by name, and undone."""

    def on(self) -> None:
        """Active, after those that are."""

    def off(self) -> None:
        """The encoder is what it was, bit for bit."""

    def drop(self) -> None:
        """As if it had never been."""


@dataclass
class WeightChange:
    """delta of some parameters, at some of their entries: `places[name]` (K) into the flat weight; None: all of it."""

    weights: Mapping[str, nn.Parameter]
    deltas: Mapping[str, Tensor]  # (K), or as many as the weight has
    places: Mapping[str, Tensor | None]
    _before: dict[str, Tensor] = field(default_factory=dict, init=False)
    _hooks: list[torch.utils.hooks.RemovableHandle] = field(default_factory=list, init=False)

    @torch.no_grad()
    def on(self) -> None:
        """Active; or, where it is that already, what its deltas have become since.

        Whether they have become something else can't be asked: fused optimizers leave a tensor's version as it was.
        """
        for name, delta in self.deltas.items():
            flat, at = self.weights[name].data.view(-1), self.places[name]
            if name not in self._before:
                self._before[name] = flat.clone() if at is None else flat[at]
            if at is None:
                torch.add(self._before[name], delta, out=flat)
            else:
                flat[at] = self._before[name] + delta

    @torch.no_grad()
    def off(self) -> None:
        for name, before in self._before.items():
            flat, at = self.weights[name].data.view(-1), self.places[name]
            if at is None:
                flat.copy_(before)
            else:
                flat[at] = before
        self._before.clear()

    def train(self, base: nn.Module) -> None:
        """Gradients of the weights become the deltas', and what an update makes of these is seen by the next pass."""
        for name, delta in self.deltas.items():
            self.weights[name].requires_grad_(True)
            hook = _passed_on(delta, self.places[name])
            self._hooks.append(self.weights[name].register_post_accumulate_grad_hook(hook))  # type: ignore[no-untyped-call]
        self._hooks.append(base.register_forward_pre_hook(lambda module, args: self.on()))

    def drop(self) -> None:
        """As if it had never been."""
        self.off()
        for hook in self._hooks:
            hook.remove()
        for name in self.deltas if self._hooks else ():
            self.weights[name].requires_grad_(False)
            self.weights[name].grad = None
        self._hooks.clear()


def _passed_on(delta: Tensor, at: Tensor | None) -> Callable[[Tensor], None]:
    def hook(weight: Tensor) -> None:
        assert weight.grad is not None
        gradient = weight.grad.view(-1)
        gradient = gradient if at is None else gradient[at]
        delta.grad = gradient.to(delta.dtype) if delta.grad is None else delta.grad + gradient
        weight.grad = None

    return hook
