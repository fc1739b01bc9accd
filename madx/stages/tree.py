"""Adapters for the nodes of the family tree: a language is read through its family's, its genus's and its own.

Faisal & Anastasopoulos 2022 (arXiv 2205.09634), section 3: all levels are trained together with masked language
modelling, each batch through the path of its language. A language without text takes the levels above it.
"""

import re
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec
from madx.catalog.language import Language
from madx.device import seed_of
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.formats.card import seal_with_card
from madx.formats.tensors import load_tensors
from madx.stages.joint import JointStage, Use
from madx.stages.session import Session
from madx.step import AdapterStep, Result


def path_of(language: Language) -> tuple[str, ...]:
    """Family, genus and language, as far as the catalogue knows them: the first, the last but one of its path, itself.

    As names of adapters, which no language has.
    """
    names = dict.fromkeys((*language.family[:1], *language.family[-1:], language.code))
    return tuple(f"node-{re.sub('[^A-Za-z0-9]+', '-', name)}" for name in names)


class TreeStage(JointStage):
    """The joint training. `paths`: for each text, the nodes that its language is read through, the highest first."""

    stage: ClassVar[str] = "tree"
    file: ClassVar[str] = "adapters.safetensors"  # of every node, by its number
    paths: tuple[tuple[str, ...], ...]

    @property
    def nodes(self) -> list[str]:
        return list(dict.fromkeys(node for path in self.paths for node in path))

    def spec_of(self, node: str) -> BottleneckSpec:
        """A stack has one invertible adapter, that of its first."""
        first = any(path[0] == node for path in self.paths)
        return self.spec if first else self.spec.model_copy(update={"invertible": None})

    def attach(self, encoder: Encoder) -> tuple[dict[str, nn.Parameter], Use]:
        parameters: dict[str, nn.Parameter] = {}
        for number, node in enumerate(self.nodes):
            torch.manual_seed(seed_of("adapter of a node", node, self.seed))
            adapter = encoder.add(node, self.spec_of(node))
            parameters.update({f"{number}.{name}": p for name, p in adapter.named_parameters()})
        for text, path in zip(self.texts, self.paths, strict=True):
            encoder.setups[text.subject] = Stack(*path)
        return parameters, encoder.activate


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
        tensors = load_tensors(session.folder(self.tree) / self.tree.file)
        own = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
        encoder.add(self.node, self.tree.spec_of(self.node)).load_state_dict(own)
        save_adapter(folder, encoder, self.node)
        below = [text.subject for text, path in zip(self.tree.texts, self.tree.paths, strict=True) if self.node in path]
        about = {
            "kind": "adapter of a family's node",
            "node": self.node,
            "base_model": self.tree.encoder.about,
            "trained_on": below,
        }
        seal_with_card(folder, about)
        return {"trained_on": below, "warnings": []}
