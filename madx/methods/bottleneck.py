"""An adapter, over the frozen encoder and, in stage two, over frozen language adapters (MAD-X) or none (task-only).

Pfeiffer et al. 2020, sections 3.1 (language) and 3.2 (task).
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from madx.adapters.bank import Adapter, site_of
from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.methods.method import Method

if TYPE_CHECKING:
    from madx.stages.session import Session


class BottleneckAdapter(Method):
    """Trains a bottleneck adapter, with the invertible part that its spec asks for."""

    what: ClassVar[str] = "adapter"
    spec: BottleneckSpec = BottleneckSpec()

    def check(self, encoder: Encoder) -> None:
        try:
            Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        except ValueError as error:
            raise InputError(str(error)) from None

    def attach(self, encoder: Encoder, name: str, seed: int, session: "Session") -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        adapter = encoder.adapters.add(name, self.spec).to(encoder.device)
        encoder.activate(name)
        return {f"adapter.{key}": parameter for key, parameter in adapter.named_parameters()}

    def layer_of(self, parameter: str) -> int | None:
        part, _, inside = parameter.removeprefix("adapter.").partition(".")
        return site_of(inside.partition(".")[0])[1] if part == "bottlenecks" else None

    def lowest_layer(self, encoder: Encoder) -> int:
        left_out = self.spec.in_layers(encoder.num_layers).leave_out
        return next((i for i in range(encoder.num_layers) if i not in left_out), encoder.num_layers - 1)

    def sized(self, size: int) -> Method | None:
        """The width of the bottleneck; a Compacter's is cut into as many parts as it has products."""
        width = size * (self.spec.phm or 1)
        return self.model_copy(update={"spec": self.spec.model_copy(update={"bottleneck_size": width})})

    def largest(self, encoder: Encoder) -> int:
        return max(1, encoder.width // (self.spec.phm or 1))

    def count(self, encoder: Encoder) -> int:
        with torch.device("meta"):
            adapter = Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        return sum(parameter.numel() for parameter in adapter.parameters())

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_adapter(folder, encoder, name, save_as=save_as)

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        _, adapter = load_adapter(folder, encoder, load_as=name)
        adapter.requires_grad_(False)  # nothing is saved or computed for gradients below what is trained
