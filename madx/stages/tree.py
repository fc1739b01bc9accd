"""Adapters for the nodes of the family tree: a language is read through its family's, its genus's and its own.

Faisal & Anastasopoulos 2022 (arXiv 2205.09634), section 3: all levels are trained together with masked language
modelling, each batch through the path of its language. A language without text takes the levels above it.
"""

import re
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import nn

from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec
from madx.catalog.language import Language
from madx.config import InputError
from madx.device import seed_of
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

FILE = "adapters.safetensors"  # of every node, by its number


def path_of(language: Language) -> tuple[str, ...]:
    """Family, genus and language, as far as the catalogue knows them: the first, the last but one of its path, itself.

    As names of adapters, which no language has.
    """
    names = dict.fromkeys((*language.family[:1], *language.family[-1:], language.code))
    return tuple(f"node-{re.sub('[^A-Za-z0-9]+', '-', name)}" for name in names)


class TreeStage(Step):
    """The joint training. `paths`: for each text, the nodes that its language is read through, the highest first."""

    stage: ClassVar[str] = "tree"
    encoder: EncoderRef
    texts: tuple[TextStage, ...]
    paths: tuple[tuple[str, ...], ...]
    spec: BottleneckSpec
    schedule: Schedule
    batch_tokens: int
    softmax: Literal["full", "corpus"] = "full"
    seed: int = 1

    @property
    def subject(self) -> str:
        return f"{len(self.texts)}-languages"

    @property
    def nodes(self) -> list[str]:
        return list(dict.fromkeys(node for path in self.paths for node in path))

    def spec_of(self, node: str) -> BottleneckSpec:
        """A stack has one invertible adapter, that of its first."""
        first = any(path[0] == node for path in self.paths)
        return self.spec if first else self.spec.model_copy(update={"invertible": None})

    def check(self, session: Session) -> None:
        try:
            self.spec.in_layers(session.encoder(self.encoder).num_layers)
        except ValueError as error:
            raise InputError(str(error)) from None

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.encoder)
        head = list(encoder.lm_head.trainable())
        with encoder.lent(*head), encoder.training():
            parameters: dict[str, nn.Parameter] = {f"lm_head.{i}": p for i, p in enumerate(head)}
            for node in self.nodes:
                torch.manual_seed(seed_of("adapter of a node", node, self.seed))
                adapter = encoder.add(node, self.spec_of(node))
                parameters.update({f"{node}.{name}": p for name, p in adapter.named_parameters()})
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            for text, path in zip(self.texts, self.paths, strict=True):
                encoder.setups[text.subject] = Stack(*path)
            texts = ManyTexts.of(encoder, self.texts, self.softmax, self.seed, session, encoder.activate)
            result = fit(
                parameters,
                self.schedule,
                lambda step: texts.parts(step, self.batch_tokens, self.seed),
                session.training(folder, self.seed, f"adapters of the tree of {self.subject}"),
                Validation(texts.held_out_losses, at=[0, self.schedule.steps]),
            )
            tensors = {
                f"{number}.{key}": tensor
                for number, node in enumerate(self.nodes)
                for key, tensor in encoder.adapters.get(node).state_dict().items()
            }
            save_tensors(folder / FILE, tensors)
        return result


class NodeAdapter(AdapterStep):
    """One node's adapter out of a trained tree: an ordinary one. A language's path is a stack of them."""

    stage: ClassVar[str] = "node"
    tree: TreeStage
    node: str

    @property
    def subject(self) -> str:
        return self.node

    def run(self, folder: Path, session: Session) -> Result:
        encoder = session.encoder(self.tree.encoder)
        start = f"{self.tree.nodes.index(self.node)}."
        tensors = load_tensors(session.folder(self.tree) / FILE)
        own = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
        encoder.add(self.node, self.tree.spec_of(self.node)).load_state_dict(own)
        save_adapter(folder, encoder, self.node)
        below = [text.subject for text, path in zip(self.tree.texts, self.tree.paths, strict=True) if self.node in path]
        about = {
            "kind": "adapter of a family's node",
            "node": self.node,
            "base_model": self.tree.encoder.model_dump(include={"name", "digest", "revision"}),
            "trained_on": below,
        }
        seal(folder, about)
        write_card(folder, folder.name)
        return {"trained_on": below, "warnings": []}
