"""One bottleneck for all layers, with a vector of each layer's own: MAD-G's layer-shared variant (Ansell et al. 2021,
section 3.3) without its generator. A layer enters it as h + e_l. As D (h + e_l) + d = D h + (d + D e_l), that is a bias
of the layer's own before the non-linearity; so what is saved is an ordinary adapter, which everything else reads.
"""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.methods.bottleneck import BottleneckAdapter

if TYPE_CHECKING:
    from madx.stages.session import Session

OWN = "down.bias"  # what a layer does not share


class SharedBottleneck(BottleneckAdapter):
    what: ClassVar[str] = "adapter"  # an ordinary one once it is trained

    def check(self, encoder: Encoder) -> None:
        super().check(encoder)
        if isinstance(self.spec.reduction_factor, dict):
            raise InputError("an adapter that layers share has one reduction_factor")

    def attach(self, encoder: Encoder, name: str, seed: int, session: "Session") -> dict[str, nn.Parameter]:
        super().attach(encoder, name, seed, session)
        adapter = encoder.adapters.get(name)
        first: dict[str, nn.Module] = {}
        for key, bottleneck in adapter.bottlenecks.items():
            lead = first.setdefault(key.rsplit("_", 1)[0], bottleneck)  # attention's and feed-forward's are two
            for path, _ in list(bottleneck.named_parameters()):
                if path != OWN and lead is not bottleneck:
                    module, _, own = path.rpartition(".")
                    shared = lead.get_submodule(module)._parameters[own]
                    bottleneck.get_submodule(module)._parameters[own] = shared
        return {f"adapter.{key}": parameter for key, parameter in adapter.named_parameters()}  # each once

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        """Every layer's copy by itself, as an ordinary adapter has them."""
        for bottleneck in encoder.adapters.get(name).bottlenecks.values():
            for module in bottleneck.modules():
                for own, parameter in list(module._parameters.items()):
                    module._parameters[own] = None if parameter is None else nn.Parameter(parameter.detach().clone())
        super().save(folder, encoder, name, save_as)
