"""Packing: the token stream of a corpus, cut into blocks without padding, on disk.

A block is  <cls> tokens <sep> tokens ... <sep>;  documents are separated by <sep> and run on over block borders.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madx.config import InputError, named


def begin_and_end(tokenizer: Any) -> tuple[int, int]:
    """The ids that a sequence begins and ends with: <cls> and <sep>, else <bos> and <eos>. Raises InputError."""
    pairs = ((tokenizer.cls_token_id, tokenizer.bos_token_id), (tokenizer.sep_token_id, tokenizer.eos_token_id))
    cls, sep = (own if own is not None else other for own, other in pairs)
    if cls is None or sep is None:
        raise InputError("the encoder's tokenizer has neither <cls>/<sep> nor <bos>/<eos>")
    return cls, sep


class Packer:
    """Appends documents to a file of int32 blocks; carries the rest of a document over to the next block."""

    def __init__(self, path: Path, length: int, cls: int, sep: int) -> None:
        self.length, self.cls, self.sep = length, cls, sep
        self._file = open(path, "wb")
        self._carry: list[int] = []
        self.blocks = 0

    def add(self, tokens: Iterable[int]) -> None:
        self._carry.extend(tokens)
        self._carry.append(self.sep)
        body = self.length - 2
        while len(self._carry) >= body:
            block = [self.cls, *self._carry[:body], self.sep]
            with named(self._file.name):
                self._file.write(np.array(block, dtype=np.int32).tobytes())
            del self._carry[:body]
            self.blocks += 1

    def close(self) -> None:
        with named(self._file.name):
            self._file.close()


class Blocks:
    """Blocks of a packed file, (n, length), read where they lie; memory stays the same however many there are."""

    def __init__(self, path: Path, length: int) -> None:
        self.length = length
        self._file = open(path, "rb")
        self._size = path.stat().st_size // (4 * length)

    def __len__(self) -> int:
        return self._size

    def _rows(self, first: int, count: int) -> np.ndarray:
        # not a memory map: its pages would count as the process's own, until all of the file is there
        size = 4 * self.length
        with named(self._file.name):
            data = os.pread(self._file.fileno(), count * size, first * size)
        return np.frombuffer(data, dtype=np.int32).reshape(count, self.length).astype(np.int64)

    def batch(self, number: int, size: int, seed: int) -> np.ndarray:
        """Batch `number` of an endless shuffled stream: every block once an epoch; a function of its arguments."""
        chosen: list[int] = []
        position = number * size
        while len(chosen) < size:
            epoch, offset = divmod(position, len(self))
            order = self._order(epoch, seed)
            part = order[offset : offset + size - len(chosen)]
            chosen.extend(part.tolist())
            position += len(part)
        return np.concatenate([self._rows(row, 1) for row in chosen])

    def _order(self, epoch: int, seed: int) -> np.ndarray:
        if getattr(self, "_cached", None) != (epoch, seed):
            self._permutation = np.arange(len(self), dtype=np.int32)  # 40 MB for 10 million blocks
            np.random.default_rng((seed, epoch)).shuffle(self._permutation)
            self._cached = (epoch, seed)
        return self._permutation

    def first(self, count: int) -> "Blocks":
        """The same file's first blocks alone."""
        part = Blocks(Path(self._file.name), self.length)
        part._size = min(count, self._size)
        return part

    def in_order(self, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self), size):
            yield self._rows(start, min(size, len(self) - start))


class Mixture:
    """Several packed texts as one endless stream, in fixed proportions; a batch is a function of its arguments.

    `parts`: each with its weight. Every run of `PATTERN` rows has each text in its share, in an order of its own.
    """

    PATTERN = 60

    def __init__(self, parts: Sequence[tuple[Blocks, float]], seed: int) -> None:
        self.texts = [text for text, _ in parts]
        self.length = self.texts[0].length
        weights = np.array([weight for _, weight in parts], dtype=np.float64)
        ends = np.round(np.cumsum(weights / weights.sum()) * self.PATTERN).astype(int)
        self.counts = np.diff(ends, prepend=0)
        self._size = sum(map(len, self.texts))
        self.order = np.random.default_rng((seed, len(parts))).permutation(
            np.repeat(np.arange(len(parts)), self.counts)
        )
        # how many rows of the same text come before, within the pattern
        self.before = [int((self.order[:i] == which).sum()) for i, which in enumerate(self.order)]

    def __len__(self) -> int:
        return self._size

    def batch(self, number: int, size: int, seed: int) -> np.ndarray:
        """Batch `number`, (size, length)."""
        rows = []
        for row in range(number * size, (number + 1) * size):
            turn, place = divmod(row, self.PATTERN)
            which = int(self.order[place])
            rows.append(self.texts[which].batch(turn * int(self.counts[which]) + self.before[place], 1, seed))
        return np.concatenate(rows)
