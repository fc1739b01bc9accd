"""A vocabulary of a language's own: its tokenizer, its embeddings and, tied to them, its masked-LM decoder.

Pfeiffer et al. 2021 ("UNKs Everywhere", arXiv 2012.15562): they are the language's, and are swapped with its adapter.
How they begin: Downey et al. 2023 (arXiv 2309.04679), section 3. V old pieces, N new ones, E width of an embedding.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from madx.config import InputError, first_line
from madx.encoders.encoder import Encoder
from madx.encoders.overlap import by_overlap

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWEST = 10  # old pieces of a script from which new ones can be drawn; of fewer: from all


@dataclass
class Vocabulary:
    tokenizer: PreTrainedTokenizerBase
    rows_NE: nn.Parameter
    bias_N: nn.Parameter | None  # of the decoder, where it has one

    def parameters(self) -> dict[str, nn.Parameter]:
        return {"rows": self.rows_NE} | ({} if self.bias_N is None else {"bias": self.bias_N})


def check_vocabulary(encoder: Encoder) -> None:
    """Whether the encoder can read with another vocabulary. Raises InputError."""
    tokenizer, start = encoder.tokenizer, f"madx-vocabulary: model '{encoder.ref.name}': "
    if not encoder.lm_head.tied:
        raise InputError(f"{start}its decoder isn't tied to its embeddings, so a vocabulary can't be swapped")
    if not tokenizer.is_fast or tokenizer.unk_token_id is None:
        raise InputError(f"{start}its tokenizer has no unknown token or no training, so none can be made like it")


def check_rows(encoder: Encoder, vocabulary: Vocabulary, where: str) -> None:
    """Whether it is one of this encoder's. Raises InputError."""
    width, tokenizer = _table(encoder).weight.shape[1], vocabulary.tokenizer
    count = max(tokenizer.get_vocab().values()) + 1
    bias = encoder.lm_head.bias
    if vocabulary.rows_NE.shape != (count, width):
        shape = tuple(vocabulary.rows_NE.shape)
        raise InputError(f"{where}: {shape} embeddings don't fit; the tokenizer and the encoder want {(count, width)}")
    if (bias is None) != (vocabulary.bias_N is None) or (
        vocabulary.bias_N is not None and vocabulary.bias_N.shape != (count,)
    ):
        raise InputError(f"{where}: its decoder's bias doesn't fit this encoder's")
    counts = encoder.family.first_position(encoder.model.config) > 0
    if counts and tokenizer.pad_token_id != encoder.pad_id:
        raise InputError(f"{where}: its padding has another id than the encoder's, which counts positions by it")


@dataclass
class VocabularyChange:
    """While it is on, the encoder reads with this vocabulary; off, with its own, bit for bit: nothing is written."""

    encoder: Encoder
    vocabulary: Vocabulary
    _own: _Reading | None = field(default=None, init=False)

    def on(self) -> None:
        own = _Reading.of(self.encoder)
        new, tokenizer = self.vocabulary, self.vocabulary.tokenizer
        padding = None if own.padding is None else int(tokenizer.pad_token_id)
        _Reading(tokenizer, new.rows_NE, padding, new.rows_NE, new.bias_N, len(new.rows_NE),
                 int(tokenizer.pad_token_id)).put(self.encoder)  # fmt: skip
        self._own = own

    def off(self) -> None:
        if self._own is not None:
            self._own.put(self.encoder)
            self._own = None

    def drop(self) -> None:
        self.off()


class _Reading(NamedTuple):
    """All of an encoder that hangs on its vocabulary."""

    tokenizer: PreTrainedTokenizerBase
    rows: nn.Parameter
    padding: int | None  # of the embeddings
    decoder: nn.Parameter
    bias: nn.Parameter | None
    vocabulary: int
    pad_id: int

    @staticmethod
    def of(encoder: Encoder) -> _Reading:
        table, head = _table(encoder), encoder.lm_head
        rows = table.weight
        assert isinstance(rows, nn.Parameter)
        return _Reading(encoder.tokenizer, rows, table.padding_idx, head.weight, head.bias,
                        encoder.vocabulary, encoder.pad_id)  # fmt: skip

    def put(self, encoder: Encoder) -> None:
        table, head = _table(encoder), encoder.lm_head
        table.weight, table.padding_idx, table.num_embeddings = self.rows, self.padding, len(self.rows)
        head.weight, head.bias = self.decoder, self.bias
        encoder.tokenizer, encoder.vocabulary, encoder.pad_id = self.tokenizer, self.vocabulary, self.pad_id


def tokenizer_in(folder: Path) -> PreTrainedTokenizerBase:
    """Raises InputError."""
    try:
        return AutoTokenizer.from_pretrained(folder)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no tokenizer: {first_line(error)}") from None


def _table(encoder: Encoder) -> nn.Embedding:
    table: nn.Embedding = encoder.base.get_input_embeddings()  # type: ignore[operator]
    return table


# ---------------------------------------------------------------------------------------------------- where it begins


class Begun(NamedTuple):
    """`copied`, `of_overlap`, `of_script`, `of_all`: how many pieces began in which way."""

    rows_NE: Tensor
    bias_N: Tensor | None
    copied: int
    of_overlap: int
    of_script: int
    of_all: int


def begin(encoder: Encoder, tokenizer: PreTrainedTokenizerBase, seed: int, vectors_NK: Tensor | None = None) -> Begun:
    """An embedding for each piece: the old one where the piece is an old one, too; else drawn from the normal
    distribution, of diagonal covariance, of the old pieces of its script; else of all.

    With static vectors of the pieces: a sum of old ones by likeness, where the piece has a vector (overlap.py).
    """
    old, new = encoder.tokenizer.get_vocab(), tokenizer.get_vocab()
    rows_VE, bias_V = _table(encoder).weight.detach().cpu(), encoder.lm_head.bias
    table_VE = rows_VE if bias_V is None else torch.cat([rows_VE, bias_V.detach().cpu()[: len(rows_VE), None]], 1)
    special = set(encoder.tokenizer.all_special_tokens)
    by_script: dict[str, list[int]] = {}
    for (piece, number), script in zip(old.items(), scripts(encoder.tokenizer, list(old)), strict=True):
        if piece not in special:
            by_script.setdefault(script, []).append(number)
    everything = torch.tensor(sorted(number for numbers in by_script.values() for number in numbers))
    moments = {script: _moments(table_VE[numbers]) for script, numbers in by_script.items() if len(numbers) >= FEWEST}
    moments.pop("", None)
    of_all = _moments(table_VE[everything])
    generator = torch.Generator().manual_seed(seed)
    made, counts = torch.empty(max(new.values()) + 1, table_VE.shape[1]), [0, 0, 0, 0]
    has_vector = torch.zeros(len(made), dtype=torch.bool) if vectors_NK is None else vectors_NK.any(-1)
    pieces = sorted(new, key=new.__getitem__)
    for piece, script in zip(pieces, scripts(tokenizer, pieces), strict=True):
        drawn = torch.randn(table_VE.shape[1], generator=generator)
        mean, deviation = moments.get(script, of_all)
        made[new[piece]] = table_VE[old[piece]] if piece in old else mean + deviation * drawn
        counts[0 if piece in old else 1 if has_vector[new[piece]] else 2 if script in moments else 3] += 1
    if vectors_NK is not None:
        made = by_overlap(made, vectors_NK, torch.tensor(sorted(new[piece] for piece in old.keys() & new.keys())))
    width = rows_VE.shape[1]
    return Begun(made[:, :width].contiguous(), None if bias_V is None else made[:, width].contiguous(), *counts)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, in fp64 while they are summed."""
    rows = rows.double()
    return rows.mean(0).float(), rows.std(0, correction=0).float()


def scripts(tokenizer: PreTrainedTokenizerBase, pieces: list[str]) -> list[str]:
    """Of each piece the script of its first letter: what Unicode's name of it begins with, e.g. 'CYRILLIC'; or ''."""
    decoder = tokenizer.backend_tokenizer.decoder
    texts = pieces if decoder is None else [decoder.decode([piece]) for piece in pieces]
    letters = (next((c for c in text if c.isalpha()), "") for text in texts)
    return [unicodedata.name(letter, "").split(" ")[0] if letter else "" for letter in letters]
