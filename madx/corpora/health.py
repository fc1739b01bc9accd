"""What an encoder's tokenizer makes of a language: tokens that it can't write, and subwords a word (fertility).

Both forecast how well a multilingual encoder serves a language (Rust et al. 2021, arXiv 2012.15613).
"""

from collections.abc import Callable, Iterable
from typing import Any

from madx.config import Frozen
from madx.corpora.characters import Characters

Encode = Callable[[list[str]], Iterable[list[int]]]  # texts to the ids of each, without special tokens
BATCH = 1_000
ENOUGH = 300  # lines, from which on a language's own adapter is taken by itself; README, "what it is worth"


class Health(Frozen):
    """Counts over some sentences."""

    sentences: int
    words: int  # at blanks; sentences in languages written without them
    tokens: int
    unknown: int

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are the unknown one."""
        return self.unknown / max(1, self.tokens)

    @property
    def subwords_per_word(self) -> float:
        return self.tokens / max(1, self.words)


def health(sentences: Iterable[str], encode: Encode, unknown_id: int | None) -> Health:
    """Sentences are read once, a thousand at a time. `unknown_id`: None for a tokenizer that can write everything."""
    counts = dict.fromkeys(Health.model_fields, 0)

    def add(batch: list[str]) -> None:
        for text, ids in zip(batch, encode(batch), strict=True):
            counts["sentences"] += 1
            counts["words"] += len(text.split())
            counts["tokens"] += len(ids)
            counts["unknown"] += ids.count(unknown_id) if unknown_id is not None else 0

    batch: list[str] = []
    for sentence in sentences:
        batch.append(sentence)
        if len(batch) == BATCH:
            add(batch)
            batch = []
    if batch:
        add(batch)
    return Health(**counts)


def by_tokenizer(sentences: Iterable[str], tokenizer: Any) -> Health:
    """As a transformers tokenizer writes them, read as they are in training."""

    def encode(batch: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    return health(map(Characters(tokenizer), sentences), encode, tokenizer.unk_token_id)
