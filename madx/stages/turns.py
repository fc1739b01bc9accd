"""Whose turn an update is, where several sets are learnt from: languages of one task, or tasks."""

import math
from collections.abc import Sequence

import torch

from madx.device import seed_of


def shares(sizes: Sequence[int], temperature: float) -> list[int]:
    """As many turns as before in all, shared out anew: p_i ~ n_i ** (1 / temperature), to the nearest whole number.

    At 1 it is as the sizes are. From 1 on, each set has at least one turn.
    """
    weights = [size ** (1 / temperature) for size in sizes]
    wanted = [sum(sizes) * weight / sum(weights) for weight in weights]
    whole = [math.floor(share) for share in wanted]
    for i in sorted(range(len(sizes)), key=lambda i: whole[i] - wanted[i])[: sum(sizes) - sum(whole)]:
        whole[i] += 1
    return whole


class Turns:
    """In every epoch each set has its count of turns, in an order drawn anew; of one set, as they come."""

    def __init__(self, counts: Sequence[int], seed: int) -> None:
        self.counts, self.seed = counts, seed
        self._epoch: tuple[int, list[tuple[int, int]]] | None = None

    def __len__(self) -> int:
        """In an epoch."""
        return sum(self.counts)

    def __call__(self, step: int) -> tuple[int, int]:
        """Of update `step`: which set, and a number that none of its other turns has, epoch after epoch from 0 on."""
        epoch, position = divmod(step, len(self))
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._order(epoch))
        return self._epoch[1][position]

    def _order(self, epoch: int) -> list[tuple[int, int]]:
        turns = [(i, epoch * count + k) for i, count in enumerate(self.counts) for k in range(count)]
        if len(self.counts) == 1:
            return turns
        order = torch.randperm(len(turns), generator=torch.Generator().manual_seed(seed_of("mix", self.seed, epoch)))
        return [turns[i] for i in order.tolist()]
