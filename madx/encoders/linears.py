"""Named parts beside an encoder's linear layers (LoRA, IA3), switched on and off with hooks.

PEFT puts modules of its own in the layers' place, so that names of weights change and hooks on the layers (adapters'
sites, the last layer's positions) come to see another thing than they did. Here the layers stay where they are.
"""

from collections.abc import Mapping

from torch import nn
from torch.utils.hooks import RemovableHandle

from madx.adapters.beside import LowRank, Part, Scaled, ScaledInput


class LinearParts(nn.Module):
    """Parts by the path of the layer that they stand beside; a change of the encoder, as changes.py has them."""

    def __init__(self, base: nn.Module, parts: Mapping[str, LowRank | Scaled | ScaledInput]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({path.replace(".", "/"): part for path, part in parts.items()})
        self._beside: list[tuple[nn.Module, Part]] = [(base.get_submodule(path), part) for path, part in parts.items()]
        self._handles: list[RemovableHandle] = []

    @property
    def by_path(self) -> dict[str, nn.Module]:
        return {key.replace("/", "."): part for key, part in self.parts.items()}

    def on(self) -> None:
        """Of several that are on, the last one stands nearest to the layer."""
        self._handles = [part.hook(linear) for linear, part in self._beside]

    def off(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def drop(self) -> None:
        self.off()
