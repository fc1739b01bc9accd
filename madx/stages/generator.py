"""MAD-G: a generator of language adapters, trained on many languages' text, and the adapters that it gives.

Ansell et al. 2021 (Findings of EMNLP), section 3. A language is described by its typology, so that one without text has
an adapter too. What is generated is an ordinary adapter: swapped, merged, pushed and exported like any other.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter
from madx.adapters.generator import Generated, Generator
from madx.config import Frozen
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.card import seal_with_card
from madx.formats.tensors import load_tensors
from madx.stages.joint import JointStage, Use
from madx.stages.session import Session
from madx.step import AdapterStep, Result

ADAPTER = " generated"  # its name in the encoder while it is trained


class Described(Frozen):
    """A language as numbers; every one of a recipe by equally many."""

    language: str
    values: tuple[float, ...]


class GeneratorStage(JointStage):
    """Its adapters have no invertible part."""

    stage: ClassVar[str] = "generator"
    file: ClassVar[str] = "generator.safetensors"
    described: tuple[Described, ...]  # in the order of the texts
    layer_shared: bool = False

    def attach(self, encoder: Encoder) -> tuple[dict[str, nn.Parameter], Use]:
        about = {d.language: torch.tensor(d.values, device=encoder.device) for d in self.described}
        torch.manual_seed(seed_of("generator", self.subject, self.seed))
        adapter = encoder.add(ADAPTER, self.spec)
        generator = Generator(adapter, len(self.described[0].values), self.layer_shared).to(encoder.device)
        generated = Generated(adapter)
        encoder.activate(ADAPTER)
        return dict(generator.named_parameters()), lambda code: generated.put(generator(about[code]))

    def generate(self, about_N: Tensor, encoder: Encoder, session: Session) -> dict[str, Tensor]:
        """The tensors of an adapter for a language that is described so."""
        shape = Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        generator = Generator(shape, len(about_N), self.layer_shared)
        generator.load_state_dict(load_tensors(session.folder(self) / self.file))
        with torch.no_grad():
            return generator(about_N)  # type: ignore[no-any-return]


class GeneratedAdapter(AdapterStep):
    """An ordinary adapter, as a generator gives it for a language."""

    stage: ClassVar[str] = "generated"
    generator: GeneratorStage
    described: Described

    @property
    def subject(self) -> str:
        return self.described.language

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.generator.encoder)
        adapter = encoder.adapters.add(self.subject, self.generator.spec)
        adapter.load_state_dict(self.generator.generate(torch.tensor(self.described.values), encoder, session))
        save_adapter(folder, encoder, self.subject)
        trained_on = [text.subject for text in self.generator.texts]
        about = {
            "kind": "language adapter",
            "language": self.subject,
            "base_model": self.generator.encoder.about,
            "generated_from": {"languages": trained_on, "layer_shared": self.generator.layer_shared},
        }
        seal_with_card(folder, about)
        return {"trained_on_its_text": self.subject in trained_on, "warnings": []}
