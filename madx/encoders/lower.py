"""The lower layers of an encoder, computed once: to stop above them, and to start above them.

Exact as long as nothing below is trained and nothing below drops out: what enters layer n is then the same each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn


class Lower(NamedTuple):
    """What enters layer `layers`: the work of the layers below it, done."""

    layers: int
    states_BTD: Tensor


class _Above(Exception):
    """Carries the states out of a forward pass that has gone far enough."""

    def __init__(self, states_BTD: Tensor) -> None:
        self.states_BTD = states_BTD


class Layers:
    """The layers of a transformers model, which are a module list at `path`."""

    def __init__(self, base: nn.Module, path: str) -> None:
        parent, _, self.name = path.rpartition(".")
        self.parent = base.get_submodule(parent)
        self.all: nn.ModuleList = getattr(self.parent, self.name)

    @contextmanager
    def only_below(self, count: int) -> Iterator[list[Tensor]]:
        """Within, a forward pass ends in front of layer `count`; the list then holds what would have entered it."""
        found: list[Tensor] = []

        def stop(_: nn.Module, args: tuple[Any, ...]) -> None:
            raise _Above(args[0])

        handle = self.all[count].register_forward_pre_hook(stop)
        try:
            yield found
        except _Above as above:
            found.append(above.states_BTD)
        finally:
            handle.remove()

    @contextmanager
    def outputs(self) -> Iterator[list[Tensor]]:
        """Within, the list fills with what every layer but the last gives, (B, T, D) each."""
        found: list[Tensor] = []

        def keep(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            found.append(output[0] if isinstance(output, tuple) else output)

        handles = [layer.register_forward_hook(keep) for layer in self.all[:-1]]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def only_above(self, lower: Lower | None) -> Iterator[None]:
        """Within, a forward pass begins at layer `lower.layers`, with its states; None: at the first layer."""
        if lower is None:
            yield
            return

        def start(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (lower.states_BTD, *args[1:])

        handle = self.all[lower.layers].register_forward_pre_hook(start)
        setattr(self.parent, self.name, self.all[lower.layers :])
        try:
            yield
        finally:
            setattr(self.parent, self.name, self.all)
            handle.remove()
