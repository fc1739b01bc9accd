"""Hyper-X (Üstün et al. 2022): one network for a task and all languages (adapters/hyper.py), trained in stage two.

While it is trained, the adapter under its name is what the network gives for the language at hand. Afterwards each
language has an ordinary adapter of its own (stages/hyper.py), which is all that is active.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from madx.adapters.bank import Adapter
from madx.adapters.generator import Generated
from madx.adapters.hyper import HyperNetwork
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.method import Method, Stored

if TYPE_CHECKING:
    from madx.stages.session import Session

FILE = "hyper.safetensors"
TASKS = MASKED_LM, LABELS = (0, 1)


class HyperX(BottleneckAdapter):
    what: ClassVar[str] = "network of adapters"
    stored: ClassVar[Stored] = "hyper"
    languages: tuple[str, ...] = ()

    def borrowed(self, encoder: Encoder) -> AbstractContextManager[None]:
        """The masked-LM head's dense and norm are trained beside."""
        return encoder.lent(*encoder.lm_head.trainable())

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        torch.manual_seed(seed)
        adapter = encoder.add(name, self.spec)
        network = self._network(adapter).to(encoder.device)
        encoder.changes[_network(name)] = _Network(network, Generated(adapter))
        head = {f"lm_head.{i}": parameter for i, parameter in enumerate(encoder.lm_head.trainable())}
        self.retarget(encoder, name, self.languages[0])
        return dict(network.named_parameters()) | head

    def retarget(self, encoder: Encoder, name: str, language: str | None) -> None:
        self._use(encoder, name, language, LABELS)

    def read_text(self, encoder: Encoder, name: str, language: str) -> None:
        self._use(encoder, name, language, MASKED_LM)

    def _use(self, encoder: Encoder, name: str, language: str | None, task: int) -> None:
        change = encoder.changes.get(_network(name))
        if not isinstance(change, _Network):  # it is trained: the language's adapter is the task's too
            encoder.activate(*([language] if language else []))
            return
        assert language is not None
        change.generated.put(change.network(task, self.languages.index(language)))
        encoder.activate(name)

    def _network(self, adapter: Adapter) -> HyperNetwork:
        return HyperNetwork(adapter, len(TASKS), len(self.languages))

    def generate(self, folder: Path, encoder: Encoder, language: str) -> dict[str, Tensor]:
        """The tensors of a language's adapter for the labels, out of a network that was saved. Raises InputError."""
        network = self._network(Adapter(self.spec, encoder.width, encoder.num_layers, encoder.adapters.embedding_width))
        try:
            network.load_state_dict(load_tensors(folder / FILE))
        except RuntimeError:
            raise InputError(f"{folder / FILE}: not the network of such adapters of this encoder") from None
        with torch.no_grad():
            return network(LABELS, self.languages.index(language))  # type: ignore[no-any-return]

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        change = encoder.changes[_network(name)]
        assert isinstance(change, _Network)
        save_tensors(folder / FILE, dict(change.network.named_parameters()))

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        """Nothing: what answers is a language's adapter."""

    def sized(self, size: int) -> Method | None:
        return None

    def about(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


@dataclass
class _Network:
    """It changes nothing of the encoder by itself."""

    network: HyperNetwork
    generated: Generated

    def on(self) -> None: ...

    def off(self) -> None: ...

    def drop(self) -> None: ...


def _network(name: str) -> str:
    return f"{name}, its network"
