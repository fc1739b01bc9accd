"""MAD-G: a generator of language adapters, trained on many languages' text, and the adapters that it gives.

Ansell et al. 2021 (Findings of EMNLP), section 3. A language is described by its typology, so that one without text has
an adapter too. What is generated is an ordinary adapter: swapped, merged, pushed and exported like any other.
"""

from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from madx.adapters.bank import Adapter
from madx.adapters.generator import Generated, Generator
from madx.adapters.spec import BottleneckSpec
from madx.config import Frozen, InputError
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef
from madx.formats.adapterhub import save_adapter
from madx.formats.card import write_card
from madx.formats.manifest import seal
from madx.formats.tensors import load_tensors, save_tensors
from madx.stages.many_texts import ManyTexts
from madx.stages.session import Session
from madx.stages.text import TextStage
from madx.step import AdapterStep, Result, Step
from madx.training.fit import Schedule, Validation, fit

FILE = "generator.safetensors"
ADAPTER = " generated"  # its name in the encoder while it is trained


class Described(Frozen):
    """A language as numbers; every one of a recipe by equally many."""

    language: str
    values: tuple[float, ...]


class GeneratorStage(Step):
    stage: ClassVar[str] = "generator"
    encoder: EncoderRef
    texts: tuple[TextStage, ...]
    described: tuple[Described, ...]  # in the order of the texts
    spec: BottleneckSpec  # of the adapters; without an invertible part
    layer_shared: bool = False
    schedule: Schedule
    batch_tokens: int
    softmax: Literal["full", "corpus"] = "full"
    seed: int = 1

    @property
    def subject(self) -> str:
        return f"{len(self.texts)}-languages"

    def check(self, session: Session) -> None:
        try:
            self.spec.in_layers(session.encoder(self.encoder).num_layers)
        except ValueError as error:
            raise InputError(str(error)) from None

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        about = {d.language: torch.tensor(d.values, device=encoder.device) for d in self.described}
        with encoder.lent(*head), encoder.training():
            torch.manual_seed(seed_of("generator", self.subject, self.seed))
            adapter = encoder.add(ADAPTER, self.spec)
            generator = Generator(adapter, len(self.described[0].values), self.layer_shared).to(encoder.device)
            generated = Generated(adapter)
            encoder.activate(ADAPTER)
            parameters = dict(generator.named_parameters())
            parameters.update({f"lm_head.{i}": parameter for i, parameter in enumerate(head)})
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            texts = ManyTexts.of(
                encoder, self.texts, self.softmax, self.seed, session,
                use=lambda code: generated.put(generator(about[code])),
            )  # fmt: skip
            result = fit(
                parameters,
                self.schedule,
                lambda step: texts.parts(step, self.batch_tokens, self.seed),
                session.training(folder, self.seed, f"generator of {self.subject}"),
                Validation(texts.held_out_losses, at=[0, self.schedule.steps]),
            )
            save_tensors(folder / FILE, generator.state_dict())
        return result

    def generate(self, about_N: Tensor, encoder: Encoder, session: Session) -> dict[str, Tensor]:
        """The tensors of an adapter for a language that is described so."""
        shape = Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width)
        generator = Generator(shape, len(about_N), self.layer_shared)
        generator.load_state_dict(load_tensors(session.folder(self) / FILE))
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
            "base_model": self.generator.encoder.model_dump(include={"name", "digest", "revision"}),
            "generated_from": {"languages": trained_on, "layer_shared": self.generator.layer_shared},
        }
        seal(folder, about)
        write_card(folder, folder.name)
        return {"trained_on_its_text": self.subject in trained_on, "warnings": []}
