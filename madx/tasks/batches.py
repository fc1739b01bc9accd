"""Batches of features, sorted by length, and how texts become features' tokens."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from madx.corpora.characters import Characters
from madx.corpora.packing import begin_and_end
from madx.encoders.encoder import Encoder
from madx.tasks.examples import Feature


class Batch(NamedTuple):
    """Features side by side, padded to the longest: B = features x choices."""

    ids_BT: Tensor
    mask_BT: Tensor | None  # None: nothing is padded
    types_BT: Tensor | None
    features: list[Feature]
    tokens: int


def pad(features: Sequence[Feature], pad_id: int, device: torch.device, with_types: bool) -> Batch:
    sequences = [s for f in features for s in f.sequences]
    longest = max(map(len, sequences))
    ids = np.full((len(sequences), longest), pad_id, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    lengths = np.array([len(s) for s in sequences])
    mask = None
    if lengths.min() < longest:
        mask = torch.from_numpy(np.arange(longest)[None, :] < lengths[:, None]).to(device)
    types = None
    if with_types and features[0].types is not None:
        table = np.zeros_like(ids)
        for row, segment in enumerate(s for f in features for s in f.types or ()):
            table[row, : len(segment)] = segment
        types = torch.from_numpy(table).to(device)
    return Batch(torch.from_numpy(ids).to(device), mask, types, list(features), int(lengths.sum()))


def training_order(features: Sequence[Feature], batch_size: int, seed: tuple[int, ...]) -> list[list[int]]:
    """An epoch's batches: shuffled, then sorted by length within pools, so that little is padded, then shuffled."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(features))
    batches: list[list[int]] = []
    pool = batch_size * 50
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool].tolist(), key=lambda i: features[i].length)
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def by_length(features: Sequence[Feature], tokens: int, packed: bool) -> Iterator[list[int]]:
    """All features once, longest first. `packed`: padding costs nothing, so batches of equal size, of about `tokens`.

    Otherwise at most `tokens` a batch, padding included, and of all ways to cut the sorted features the one with the
    least to compute: padded tokens, and for every batch what starting it costs, a sixteenth of `tokens`.
    """
    order = sorted(range(len(features)), key=lambda i: -features[i].length)
    if packed:
        ends = list(accumulate(sum(map(len, features[i].sequences)) for i in order))
        count = math.ceil(ends[-1] / tokens) if ends else 0
        # each goes where its last token falls
        for _, part in groupby(zip(order, ends, strict=True), key=lambda one: (one[1] - 1) * count // ends[-1]):
            yield [i for i, _ in part]
        return
    length = np.array([features[i].length for i in order])
    rows = np.cumsum([0, *(len(features[i].sequences) for i in order)])  # of the first n features
    least = np.zeros(len(order) + 1)  # what they cost
    start = [0] * (len(order) + 1)  # where their last batch begins
    lowest = 0  # no batch that ends at `end` or later can begin before
    for end in range(1, len(order) + 1):
        while lowest < end - 1 and (rows[end] - rows[lowest]) * length[lowest] > tokens:
            lowest += 1
        padded = (rows[end] - rows[lowest:end]) * length[lowest:end]  # a batch's first is its longest
        costs = least[lowest:end] + padded + tokens / 16
        start[end] = lowest + int(costs.argmin())
        least[end] = costs[start[end] - lowest]
    cuts = [len(order)]
    while cuts[-1]:
        cuts.append(start[cuts[-1]])
    for end, first in zip(cuts[-2::-1], cuts[:0:-1], strict=True):
        yield order[first:end]


def parts_by_length(
    features: Sequence[Feature], encoder: Encoder, training: bool = False
) -> Iterator[tuple[list[int], Batch]]:
    """`by_length`, as large as the encoder likes them: which features, and their batch."""
    tokens = encoder.micro_tokens if training else encoder.many_tokens
    if training and encoder.processes > 1:
        tokens = min(tokens, sum(sum(map(len, f.sequences)) for f in features) // encoder.processes)
    for rows in by_length(features, tokens, encoder.packs):
        yield rows, pad([features[i] for i in rows], encoder.pad_id, encoder.device, encoder.has_types)


class Tokens:
    """Encodes texts, and joins sequences as the encoder's tokenizer wants them. Words are encoded once each."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.cls, self.sep = begin_and_end(tokenizer)
        self.as_read = Characters(tokenizer)
        self._words: dict[str, tuple[int, ...]] = {}

    def words(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Subwords of each word; a word that leaves none becomes the unknown token, so that none is lost."""
        new = list(dict.fromkeys(w for w in words if w not in self._words))
        if new:
            encoded = self.tokenizer([f" {self.as_read(w)}" for w in new], add_special_tokens=False)["input_ids"]
            for word, ids in zip(new, encoded, strict=True):
                self._words[word] = tuple(ids) or (self.tokenizer.unk_token_id,)
        return [self._words[w] for w in words]

    def pieces(self, text: str) -> list[int]:
        """Where the tokenizer's pieces of a text begin, in characters of the text as it was given."""
        read, places = self.as_read.with_places(text)
        out = self.tokenizer(read, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [places[start][0] for start, end in out["offset_mapping"] if start < end]

    def known(self, sequences: Sequence[Sequence[int]]) -> tuple[int, int]:
        """How many tokens there are, those that join sequences not counted, and how many are the unknown one."""
        ids = [i for sequence in sequences for i in sequence if i not in (self.cls, self.sep)]
        return len(ids), ids.count(self.tokenizer.unk_token_id)

    def parts(self, words: Sequence[str]) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
        """A sentence in parts that fit, split between words: each part's first word, and its words' subwords."""
        room = self.max_length - 2
        start, size, part = 0, 0, list[tuple[int, ...]]()
        for number, piece in enumerate(ids[:room] for ids in self.words(words)):
            if size + len(piece) > room:
                yield start, part
                start, size, part = number, 0, []
            part.append(piece)
            size += len(piece)
        if part:
            yield start, part

    def joined(self, pieces: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """A sequence of these words."""
        return self.single([i for piece in pieces for i in piece])

    def single(self, ids: Sequence[int]) -> tuple[int, ...]:
        return (self.cls, *ids[: self.max_length - 2], self.sep)

    def text(self, text: str, pair: str | None = None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(ids, segment ids) of a text or a pair, cut to max_length at the longer end."""
        text, pair = self.as_read(text), None if pair is None else self.as_read(pair)
        out = self.tokenizer(text, pair, truncation=True, max_length=self.max_length, return_token_type_ids=True)
        return tuple(out["input_ids"]), tuple(out.get("token_type_ids") or [0] * len(out["input_ids"]))
