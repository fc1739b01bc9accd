"""Several adapters of one shape in one folder, mixed with weights by layer: loaded, not trained."""

from pathlib import Path
from typing import ClassVar

import torch

from madx.adapters.setup import Mix
from madx.adapters.spec import BottleneckSpec
from madx.config import InputError, validate
from madx.encoders.encoder import Encoder
from madx.foreign import read_json_object
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.method import Method, Stored
from madx.writing import write_json

SPEC, FILE = "mixture.json", "mixture.safetensors"


class Mixture(Method):
    what: ClassVar[str] = "mixture"
    stored: ClassVar[Stored] = "mixture"

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        """All of them, and `name` for the mixture, with equal weights."""
        about, tensors = read_json_object(folder / SPEC), load_tensors(folder / FILE)
        count = about.get("adapters")
        if not isinstance(count, int) or not 1 <= count <= 1000:
            raise InputError(f"{folder / SPEC}: key 'adapters': how many there are")
        spec = validate(BottleneckSpec, about.get("spec", {}), str(folder / SPEC))
        names = [f"{name} {number}" for number in range(count)]
        for number, own in enumerate(names):
            start = f"{number}/"
            state = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            adapter = encoder.add(own, spec)
            try:
                adapter.load_state_dict(state)
            except RuntimeError:
                raise InputError(f"{folder / FILE}: not the tensors of {count} such adapters of this encoder") from None
            adapter.requires_grad_(False)
        encoder.adapters.mixes[name] = torch.full((1 + encoder.num_layers, count), 1 / count, device=encoder.device)
        encoder.setups[name] = Mix(*names, name=name)

    @staticmethod
    def write(folder: Path, encoder: Encoder, names: list[str]) -> None:
        """Adapters that are in the encoder. Raises InputError where their shapes differ."""
        adapters = [encoder.adapters.get(name) for name in names]
        if any(adapter.spec != adapters[0].spec for adapter in adapters):
            raise InputError("only adapters of one shape can be mixed")
        tensors = {
            f"{number}/{key}": value
            for number, adapter in enumerate(adapters)
            for key, value in adapter.state_dict().items()
        }
        save_tensors(folder / FILE, tensors)
        write_json(folder / SPEC, {"adapters": len(adapters), "spec": adapters[0].spec.model_dump(mode="json")})
