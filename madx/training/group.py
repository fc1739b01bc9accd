"""Several processes at one training: each takes some of the parts of an update's batch, and the gradients are summed.

Parameters and optimizer stay the same everywhere, so the first process writes and reports for all. Through accelerate,
which knows how `accelerate launch`, torchrun and SLURM say who is who.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from madx.config import RunError, first_line
from madx.device import seed_of

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # the others wait while the first one evaluates


@dataclass(frozen=True)
class Group:
    """The processes of a training; by itself, one that is alone."""

    rank: int = 0
    size: int = 1

    def share(self, parts: Sequence[T]) -> Sequence[T]:
        """Those of this process."""
        return parts[self.rank :: self.size]

    def same(self, value: T) -> T:
        """The first process's value, which can be pickled."""
        if self.size == 1:
            return value
        from accelerate.utils import broadcast_object_list

        box = [value]
        with _said_plainly():
            broadcast_object_list(box)
        return box[0]

    def seed(self, *parts: object) -> int:
        """Of this process's dropout; the first one's is that of a process alone."""
        return seed_of(*parts, self.rank) if self.rank else seed_of(*parts)

    def any(self, asked: bool) -> bool:
        """Whether one of them was asked."""
        return asked if self.size == 1 else bool(_summed(torch.tensor([float(asked)])).item())

    def sum(self, parameters: Sequence[nn.Parameter], numbers: list[Tensor]) -> list[Tensor]:
        """Sums gradients over all processes, in place, in one message; and the sum of all numbers, if there are others.

        A gradient that nobody has stays None.
        """
        if self.size == 1:
            return numbers
        like = torch.zeros(1, device=parameters[0].device)
        has = like.new_tensor([float(parameter.grad is not None) for parameter in parameters])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = [gradient.flatten().to(like.dtype) for gradient in gradients]
        message = torch.cat([sum(numbers, like), has, *flat])
        sizes = [1, len(has), *(parameter.numel() for parameter in parameters)]
        total, has, *flat = _summed(message).split(sizes)  # type: ignore[no-untyped-call]
        for parameter, gradient, any_has in zip(parameters, flat, has.tolist(), strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype) if any_has else None
        return [total[0]]


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's
        raise RunError("another process of this training has ended; run it again to go on from its last checkpoint "
                       f"({first_line(error)})") from None  # fmt: skip


def _summed(numbers: Tensor) -> Tensor:
    from accelerate import PartialState
    from accelerate.utils import reduce

    with _said_plainly():
        summed: Tensor = reduce(numbers.to(PartialState().device), "sum")  # NCCL wants them on the GPU
    return summed.to(numbers.device)


def joined(device: torch.device) -> tuple[Group, torch.device]:
    """The group that this process was launched in, and its own device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Group(), device
    from accelerate import PartialState

    state = PartialState(cpu=device.type == "cpu", timeout=PATIENCE)
    if device.type == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() // state.num_processes))
    own = state.device if device.type == "cuda" else device
    return Group(state.process_index, state.num_processes), own
