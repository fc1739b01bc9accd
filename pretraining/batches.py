"""Text in blocks, translation pairs, and what a step is made of: a pure function of its number, so resuming is exact.

Tensor legend: B blocks, T tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pretraining.vocabulary import BOS, EOS, PAD

LENGTH = 128
HELD_OUT = 50  # every 50th block of a language is never trained on
KEPT, RANDOM = 0.1, 0.1  # of the masked tokens: left as they are, replaced by any other one


@dataclass(frozen=True)
class Masked:
    ids_BT: Tensor
    mask_BT: Tensor  # True where there is a token
    chosen_BT: Tensor  # the positions to predict
    targets_M: Tensor


def blocks_of(sentences: Iterable[list[int]]) -> np.ndarray:
    """Sentences joined with </s>, cut into (B, T) after a <s>; what is left over at the end is dropped."""
    stream = np.array([token for ids in sentences for token in (*ids, EOS)], dtype=np.int32)
    count = len(stream) // (LENGTH - 1)
    body = stream[: count * (LENGTH - 1)].reshape(count, LENGTH - 1)
    return np.concatenate([np.full((count, 1), BOS, dtype=np.int32), body], axis=1)


def mask(ids_BT: np.ndarray, rate: float, mask_id: int, rng: np.random.Generator) -> Masked:
    """80 % of the chosen tokens become the mask, 10 % any other token, 10 % stay."""
    real = (ids_BT > EOS) & (ids_BT != mask_id)
    chosen = real & (rng.random(ids_BT.shape) < rate)
    action = rng.random(ids_BT.shape)
    masked = np.where(chosen & (action >= KEPT + RANDOM), mask_id, ids_BT)
    masked = np.where(chosen & (action < RANDOM), rng.integers(EOS + 2, mask_id, ids_BT.shape), masked)
    tensors = (masked.astype(np.int64), ids_BT != PAD, chosen, ids_BT[chosen].astype(np.int64))
    return Masked(*map(torch.from_numpy, tensors))


class Batches:
    """Blocks by language and translation pairs: drawn, masked."""

    def __init__(self, blocks: dict[str, np.ndarray], pairs: dict[str, list[list[int]]], mask_id: int) -> None:
        self.mask_id = mask_id
        self.held_out = np.concatenate([rows[::HELD_OUT] for rows in blocks.values()])
        self.blocks = {code: np.delete(rows, np.s_[::HELD_OUT], axis=0) for code, rows in blocks.items()}
        self.blocks = {code: rows for code, rows in self.blocks.items() if len(rows)}
        sizes = np.array([len(rows) for rows in self.blocks.values()], dtype=np.float64) ** 0.7
        self.shares = sizes / sizes.sum()
        self.pairs = pairs

    def text(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(B, T): a language in proportion to its number of blocks to the power of 0.7, any of its blocks."""
        codes = rng.choice(list(self.blocks), count, p=self.shares)
        return np.stack([self.blocks[code][rng.integers(len(self.blocks[code]))] for code in codes])

    def translations(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(B, T) of `<s> a </s> b </s>`, each cut to its half; one of the two is English every other time."""
        rows = np.full((count, LENGTH), PAD, dtype=np.int32)
        half = (LENGTH - 3) // 2
        for row in rows:
            first, second = rng.choice(list(self.pairs), 2, replace=False)
            if rng.random() < 0.5 and second != "eng":
                first = "eng"
            line = int(rng.integers(min(len(self.pairs[first]), len(self.pairs[second]))))
            a, b = self.pairs[first][line][:half], self.pairs[second][line][:half]
            ids = [BOS, *a, EOS, *b, EOS]
            row[: len(ids)] = ids
        return rows
