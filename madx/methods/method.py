"""What a stage trains: a value, so that a plan can name it, compare it and send it to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from madx.config import Frozen

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.encoders.encoder import Encoder
    from madx.stages.session import Session


# what a folder holds, for who reads it without the method: see loading.py
Stored = Literal[
    "adapter", "encoder", "change", "beside", "fusion", "prefix", "prompt", "union", "mixture", "vocabulary", "lily",
    "hyper",
]  # fmt: skip


class Method(Frozen):
    """One file for each. `name`: what the trained part is called in the encoder, where languages and tasks differ."""

    what: ClassVar[str]  # in words, for manifests and cards
    stored: ClassVar[Stored] = "adapter"

    @property
    def shared(self) -> bool:
        """Whether what is saved is an adapter as AdapterHub has them, which people can pass on (`madx adapters`)."""
        return self.stored == "adapter"

    def borrowed(self, encoder: Encoder) -> AbstractContextManager[None]:
        """Within, this method may do to the encoder what it does; after, the encoder is what it was."""
        return encoder.lent()

    def check(self, encoder: Encoder) -> None:
        """Whether it can be attached at all, before any work. Raises InputError."""

    def attach(self, encoder: Encoder, name: str, seed: int, session: Session) -> dict[str, nn.Parameter]:
        """Put the new part in, active; its parameters, to be trained. `session`: where the steps are that it names."""
        raise NotImplementedError

    def retarget(self, encoder: Encoder, name: str, language: str | None) -> None:
        """Swap the language adapter below the trained part; None: no language adapter."""
        encoder.activate(*([language] if language else []), name)

    def read_text(self, encoder: Encoder, name: str, language: str) -> None:
        """Set the encoder up for text of a language, where masked language modelling is a task beside."""
        raise NotImplementedError

    def penalty(self, encoder: Encoder, name: str) -> Tensor | None:
        """A term of its own in every update's loss, a scalar."""
        return None

    def begin(self, encoder: Encoder, name: str, gradients: Callable[[], Mapping[str, Tensor]]) -> None:
        """Once before the first update, and before a resumed training alike: parameters are what `attach` made them.

        `gradients`: of the mean loss of the first batch, by the keys that `attach` gave.
        """

    def layer_of(self, parameter: str) -> int | None:
        """The layer (from 0) of what is trained, by its key in `attach`'s answer; None: it stands in no layer."""
        return None

    def lowest_layer(self, encoder: Encoder) -> int:
        """The lowest layer (from 0) in which something is trained; what is below can be computed once."""
        return 0

    def save(self, folder: Path, encoder: Encoder, name: str, save_as: str) -> None:
        """Write what was trained into the folder, under the name that others know it by."""
        raise NotImplementedError

    def load(self, folder: Path, encoder: Encoder, name: str) -> None:
        """Put what was saved there into the encoder, frozen. Raises InputError."""
        raise NotImplementedError

    def sized(self, size: int) -> Method | None:
        """The same in another size, from 1 on; None: it has no size of its own."""
        return None

    def largest(self, encoder: Encoder) -> int:
        """The size above which it isn't any more what it is called: a bottleneck or a rank above the width."""
        return encoder.width

    def at_sparsity(self, sparsity: float) -> Method | None:
        """The same, pruned so before it is trained; None: it is pruned afterwards, if at all."""
        return None

    def count(self, encoder: Encoder) -> int:
        """How many parameters one that has a size trains; the encoder needs no weights for that."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Its hyper-parameters, for manifests and cards."""
        return self.model_dump()
