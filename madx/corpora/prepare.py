"""A language's text, made ready for an encoder: cleaned, split, tokenised, packed. One pass, in fixed memory."""

import heapq
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from madx.catalog.language import TextSource
from madx.config import Frozen, InputError
from madx.corpora.characters import Characters
from madx.corpora.clean import Cleaner, is_held_out, lot
from madx.corpora.documents import documents
from madx.corpora.packing import Packer, begin_and_end
from madx.device import one_ahead
from madx.writing import fsync_file, write_bytes

TRAIN = "train.bin"
HELD_OUT = "held_out.bin"
VOCABULARY = "tokens.npy"  # the ids that the text to train on has
HELD_OUT_SHARE = 0.05
HELD_OUT_TOKENS = 100_000  # enough for a loss to two decimals; the rest is trained on
FEWEST_TOKENS = 2_000
FEWEST_BLOCKS = 4  # to train on
BATCH, BATCH_CHARACTERS = 1_000, 1 << 21  # encoded at once
UNKNOWN_REFUSED, UNKNOWN_WARNED, SUBWORDS_WARNED = 0.2, 0.01, 5.0


class Corpus(Frozen):
    """The packed text of a language: a step. `digests` stand for the content of the sources, in their order."""

    version: ClassVar[int] = 3  # 3: short lines of scripts without spaces are kept; special tokens in the text are text
    language: str
    has_spaces: bool
    sources: tuple[TextSource, ...]
    digests: tuple[str, ...]
    tokenizer: str  # digest
    block_size: int = Field(ge=8)
    max_tokens: int
    lines: int | None = None  # to train on, at most: those of the smallest lots, so that fewer are part of more

    @property
    def held_out_size(self) -> int:
        """Short blocks, so that a few hundred held-out words fill some."""
        return min(self.block_size, 64)

    def prepare(
        self,
        folder: Path,
        tokenizer: Any,
        data: Path | None,
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """Write train.bin, held_out.bin, tokens.npy; the counts. Raises InputError for text that can't be used."""
        cls, sep = begin_and_end(tokenizer)
        cleaner = Cleaner()
        lengths = {"train": self.block_size, "held_out": self.held_out_size}
        packers = {part: Packer(folder / f"{part}.bin", length, cls, sep) for part, length in lengths.items()}
        tokens = {"train": 0, "held_out": 0}
        kept = words = unknown = 0
        occurring = {cls, sep}
        for batch, so_far in encoded(self._clean(cleaner, data), tokenizer):
            dropped = so_far
            for text, ids in batch:
                enough = tokens["held_out"] >= HELD_OUT_TOKENS
                if enough and self.lines is not None and is_held_out(text, HELD_OUT_SHARE):
                    continue
                kept += 1
                aside = not enough and is_held_out(text, HELD_OUT_SHARE)
                part = "held_out" if aside else "train"
                packers[part].add(ids)
                if part == "train":
                    occurring.update(ids)
                tokens[part] += len(ids)
                words += len(text.split())
                unknown += ids.count(tokenizer.unk_token_id)
            watch(min(tokens["train"], self.max_tokens), self.max_tokens)
            if tokens["train"] >= self.max_tokens:
                break
        else:
            dropped = cleaner.dropped
        for part, packer in packers.items():
            packer.close()
            fsync_file(folder / f"{part}.bin")
        vocabulary = io.BytesIO()
        np.save(vocabulary, np.array(sorted(occurring), dtype=np.int32))
        write_bytes(folder / VOCABULARY, vocabulary.getvalue())
        total = sum(tokens.values())
        report = {
            "documents": kept,
            "dropped": dict(dropped),
            "tokens": tokens["train"],
            "held_out_tokens": tokens["held_out"],
            "blocks": packers["train"].blocks,
            "held_out_blocks": packers["held_out"].blocks,
            "unknown_rate": unknown / max(1, total),
            "subwords_per_word": total / max(1, words),
        }
        report["warnings"] = self._check(report)
        return report

    def to_train_on(self, data: Path | None) -> Iterator[str]:
        """Its cleaned text, without the lines that may be held out."""
        for batch, _ in self._clean(Cleaner(), data):
            yield from (text for text in batch if not is_held_out(text, HELD_OUT_SHARE))

    def _clean(self, cleaner: Cleaner, data: Path | None) -> Iterator[tuple[list[str], Counter[str]]]:
        """A thousand documents at a time, or few long ones, and what had been dropped when they were there."""
        largest = None if self.lines is None else self._largest_lot(self.lines, data)
        batch: list[str] = []
        size = 0
        for text in self._cleaned(cleaner, data):
            if largest is not None and lot(text) > largest:
                cleaner.dropped[f"beyond {self.lines} lines"] += 1
                continue
            batch.append(text)
            size += len(text)
            if len(batch) == BATCH or size > BATCH_CHARACTERS:
                yield batch, cleaner.dropped.copy()
                batch, size = [], 0
        if batch:
            yield batch, cleaner.dropped.copy()

    def _cleaned(self, cleaner: Cleaner, data: Path | None) -> Iterator[str]:
        cleaned = (cleaner(document) for source in self.sources for document in documents(source, data))
        return (text for text in cleaned if text is not None)

    def _largest_lot(self, lines: int, data: Path | None) -> int:
        """Of the lines to train on; those of held-out lines are smaller."""
        to_train_on = (text for text in self._cleaned(Cleaner(), data) if not is_held_out(text, HELD_OUT_SHARE))
        return max(heapq.nsmallest(lines, map(lot, to_train_on)), default=int(HELD_OUT_SHARE * 2**64))

    def _check(self, report: dict[str, Any]) -> list[str]:
        """Refuse what can't be trained on; say in numbers what looks bad."""
        language, unknown = self.language, report["unknown_rate"]
        if not report["documents"]:
            dropped = ", ".join(f"{n} {reason}" for reason, n in report["dropped"].items()) or "no documents"
            raise InputError(f"the text of '{language}' is empty after cleaning ({dropped}); sources: {self._where()}")
        if report["tokens"] < FEWEST_TOKENS or report["blocks"] < FEWEST_BLOCKS or not report["held_out_blocks"]:
            needed = f"at least {FEWEST_TOKENS} are needed"
            if report["tokens"] >= FEWEST_TOKENS:
                blocks = f"{report['blocks']} blocks of {self.block_size} to train on and {report['held_out_blocks']}"
                needed = f"which are {blocks} held out; {FEWEST_BLOCKS} and 1 are needed"
            raise InputError(
                f"the text of '{language}' is too small to train on: {report['tokens']} tokens in "
                f"{report['documents']} documents, {needed}; sources: {self._where()}"
            )
        if unknown > UNKNOWN_REFUSED:
            raise InputError(
                f"the encoder's tokenizer cannot write '{language}': {unknown:.0%} of its tokens are unknown; "
                "choose an encoder that knows the script"
            )
        warnings = []
        if unknown > UNKNOWN_WARNED:
            warnings.append(f"{language}: {unknown:.1%} of the tokens are unknown to the encoder's tokenizer")
        if self.has_spaces and report["subwords_per_word"] > SUBWORDS_WARNED:
            warnings.append(f"{language}: {report['subwords_per_word']:.1f} subwords per word; expect a weak adapter")
        return warnings

    def _where(self) -> str:
        return ", ".join(source.file or f"{source.hub}/{source.config}" for source in self.sources[:3])


def encoded(
    batches: Iterable[tuple[list[str], Counter[str]]], tokenizer: Any
) -> Iterator[tuple[list[tuple[str, list[int]]], Counter[str]]]:
    """Batches with the tokens of each text; the next one is encoded while this one is worked on."""
    return one_ahead(partial(_with_tokens, tokenizer, texts, about) for texts, about in batches)


def _with_tokens(
    tokenizer: Any, texts: list[str], about: Counter[str]
) -> tuple[list[tuple[str, list[int]]], Counter[str]]:
    as_read = Characters(tokenizer)
    return list(zip(texts, _encode(tokenizer, [as_read(text) for text in texts]), strict=True)), about


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    if not tokenizer.is_fast:
        return tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[no-any-return]
    fast = tokenizer.backend_tokenizer  # directly: masks, segments and offsets would take as long as the tokens
    fast.no_truncation()
    fast.no_padding()
    return [encoding.ids for encoding in fast.encode_batch_fast(texts, add_special_tokens=False)]
