"""Lottery-ticket sparse fine-tuning (LT-SFT; Ansell et al. 2022, arXiv 2110.07560, section 3): a small part of the
encoder's own weights is trained, for a language or for a task; the two are added: theta = theta_0 + delta_L + delta_T.

Two trainings. The first, `LotteryTicket`, moves every weight, with a pull back of l1 / N * sum |theta - theta_0|, and
keeps the K entries that moved farthest. The second, `SparseFineTuning`, begins at theta_0 and moves those alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from madx.config import InputError
from madx.encoders.changes import WeightChange
from madx.encoders.encoder import Encoder
from madx.formats.composable_sft import DIFF, read_diff, write_diff
from madx.formats.tensors import load_tensors, save_tensors
from madx.methods.method import Method, Stored
from madx.step import Step

if TYPE_CHECKING:
    from madx.stages.session import Session

FILE = "sparse.safetensors"
AT, DELTA = ".at", ".delta"


class ChangedWeights(Method):
    """What the two trainings have in common: a change of some of the encoder's weights, by name."""

    version: ClassVar[int] = 2  # its training sees what its updates make of the weights
    what: ClassVar[str] = "sparse change"
    stored: ClassVar[Stored] = "change"

    @contextmanager
    def borrowed(self, encoder: Encoder) -> Iterator[None]:
        """The decoder stays what it was, while the embeddings that it is tied to are trained."""
        with encoder.lent(), encoder.decoder_apart():
            yield

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        weights, tensors = dict(encoder.base.named_parameters()), load_tensors(folder / FILE)
        places, deltas = _parts(tensors)
        _check(folder / FILE, weights, places, deltas)
        encoder.changes[name] = WeightChange(
            weights,
            {key: delta.to(encoder.device) for key, delta in deltas.items()},
            {key: at.to(encoder.device) for key, at in places.items()},
        )

    def _trained(self, encoder: Encoder, name: str, places: dict[str, Tensor | None]) -> dict[str, nn.Parameter]:
        """A change of zeros at these places, active and to be trained."""
        weights = dict(encoder.base.named_parameters())
        deltas = {
            key: nn.Parameter(torch.zeros(weights[key].numel() if at is None else len(at), device=encoder.device))
            for key, at in places.items()
        }
        encoder.changes[name] = change = WeightChange(weights, deltas, places)
        change.train(encoder.base)
        encoder.activate(name)
        return {f"change.{key}": delta for key, delta in deltas.items()}


class LotteryTicket(ChangedWeights):
    """The first training: which entries are worth training."""

    what: ClassVar[str] = "ticket"
    share: float = Field(gt=0, le=1)  # K, of the weights that are trained
    l1: float = Field(0.1, ge=0)
    norms: bool = False  # whether the encoder's own norms are trained too

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        return self._trained(encoder, name, dict.fromkeys(trainable(encoder, self.norms)))

    def penalty(self, encoder: Encoder, name: str) -> Tensor | None:
        deltas = _change(encoder, name).deltas.values()
        total = sum(delta.numel() for delta in deltas)
        return self.l1 / total * torch.stack([delta.abs().sum() for delta in deltas]).sum()

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        deltas = {key: delta.detach() for key, delta in _change(encoder, name).deltas.items()}
        kept = farthest(deltas, self.share)
        _write(folder, kept, {key: deltas[key][at] for key, at in kept.items()})


class SparseFineTuning(ChangedWeights):
    """The second training, of the entries that a first one has chosen."""

    ticket: Step  # a LanguageStage or TaskStage with a LotteryTicket

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        places, _ = _parts(load_tensors(session.folder(self.ticket) / FILE))
        return self._trained(encoder, name, {key: at.to(encoder.device) for key, at in places.items()})

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        save_change(folder, encoder, name)

    def about(self) -> dict[str, Any]:
        return {"ticket": self.ticket.name}


def trainable(encoder: Encoder, norms: bool) -> list[str]:
    """Names of the encoder's weights, those of its norms only if asked for."""
    of_norms = {
        f"{module}.{name}"
        for module, part in encoder.base.named_modules()
        if "norm" in type(part).__name__.lower()
        for name, _ in part.named_parameters()
    }
    return [name for name, _ in encoder.base.named_parameters() if norms or name not in of_norms]


def farthest(deltas: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """The entries of largest magnitude, `share` of all, over all tensors together: by tensor, in rising order.

    One threshold, found on one flat tensor of magnitudes; at a tie the first ones are kept.
    """
    sizes = [delta.numel() for delta in deltas.values()]
    magnitudes = torch.cat([delta.abs().flatten() for delta in deltas.values()])
    count = max(1, round(share * sum(sizes)))
    threshold = magnitudes.kthvalue(len(magnitudes) - count + 1).values
    chosen = magnitudes > threshold
    at_it = (magnitudes == threshold).nonzero().flatten()[: count - int(chosen.sum())]
    chosen[at_it] = True
    parts = zip(deltas, torch.split(chosen, sizes), strict=True)
    return {key: part.nonzero().flatten() for key, part in parts if bool(part.any())}


def _change(encoder: Encoder, name: str) -> WeightChange:
    change = encoder.changes[name]
    assert isinstance(change, WeightChange)
    return change


def save_change(folder: Path, encoder: Encoder, name: str) -> None:
    """A change whose entries are chosen: their places and what is added there."""
    change = _change(encoder, name)
    _write(
        folder,
        {key: at for key, at in change.places.items() if at is not None},
        {key: delta.detach() for key, delta in change.deltas.items()},
    )


def from_published(folder: Path, to: Path, encoder: Encoder) -> None:
    """A language's change that composable-sft made. Raises InputError."""
    shapes = {name: weight.shape for name, weight in encoder.base.named_parameters()}
    _write(to, *read_diff(folder / DIFF, encoder.prefix, shapes))


def to_published(folder: Path, to: Path, encoder: Encoder) -> None:
    """A change as composable-sft reads it. Raises InputError."""
    weights = dict(encoder.base.named_parameters())
    places, deltas = _parts(load_tensors(folder / FILE))
    _check(folder / FILE, weights, places, deltas)
    shapes = {name: weight.shape for name, weight in weights.items()}
    write_diff(to / DIFF, encoder.prefix, shapes, places, deltas)


def _write(folder: Path, places: dict[str, Tensor], deltas: dict[str, Tensor]) -> None:
    save_tensors(
        folder / FILE,
        {key + AT: at for key, at in places.items()} | {key + DELTA: deltas[key] for key in places},
    )


def _parts(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    places = {key.removesuffix(AT): tensor for key, tensor in tensors.items() if key.endswith(AT)}
    return places, {key.removesuffix(DELTA): tensor for key, tensor in tensors.items() if key.endswith(DELTA)}


def _check(path: Path, weights: dict[str, nn.Parameter], places: dict[str, Tensor], deltas: dict[str, Tensor]) -> None:
    for key in places.keys() | deltas.keys():
        at, delta, weight = places.get(key), deltas.get(key), weights.get(key)
        if weight is None or at is None or delta is None or at.shape != delta.shape or at.is_floating_point():
            raise InputError(f"{path}: '{key}' is no change of this encoder's weights")
        if len(at) and not 0 <= int(at.min()) <= int(at.max()) < weight.numel():
            raise InputError(f"{path}: '{key}' has places outside of the weight")
