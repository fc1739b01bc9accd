"""Masked language modelling on packed text: an update's parts, their loss, and the loss on held-out text.

M masked positions, V vocabulary, R tokens that occur.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from madx.config import InputError
from madx.corpora.masking import Masked, mask_tokens
from madx.corpora.packing import Blocks, Mixture
from madx.corpora.prepare import HELD_OUT, TRAIN, VOCABULARY, Corpus
from madx.device import seed_of
from madx.encoders.compiled import CompiledPass
from madx.encoders.encoder import Encoder
from madx.encoders.lm_head import Decoder
from madx.training.fit import Part


def check_head(encoder: Encoder) -> None:
    """Raises InputError where there is no masked-LM head that was trained."""
    if not encoder.lm_head_is_trained:
        raise InputError(f"model '{encoder.ref.name}' has no trained masked-LM head; stage one needs one")


@dataclass(frozen=True)
class MaskedLm:
    """Packed text as an aim of training, for an encoder as it is then set up."""

    encoder: Encoder
    blocks: Blocks | Mixture
    held_out: Blocks
    vocabulary: "CorpusVocabulary | None" = None  # None: the softmax is over all of it
    near: Callable[[Masked, Tensor], Tensor] | None = None  # a term of its own, from the states at masked positions
    share: float = 1.0  # of the cross-entropy beside it
    compiled: CompiledPass | None = None  # in training, instead of the encoder's own pass

    @staticmethod
    def of(
        encoder: Encoder, texts: Sequence[tuple[Path, Corpus, float]], softmax: Literal["full", "corpus"], seed: int
    ) -> "MaskedLm":
        """Texts as `Corpus.prepare` has written them, each with its share; the first one's is held out."""
        blocks = [(Blocks(folder / TRAIN, corpus.block_size), share) for folder, corpus, share in texts]
        folder, corpus, _ = texts[0]
        vocabulary = None
        if softmax == "corpus":
            occurring = np.unique(np.concatenate([np.load(folder / VOCABULARY) for folder, _, _ in texts]))
            vocabulary = CorpusVocabulary.of(occurring, encoder)
        return MaskedLm(
            encoder,
            Mixture(blocks, seed) if len(blocks) > 1 else blocks[0][0],
            Blocks(folder / HELD_OUT, corpus.held_out_size),
            vocabulary,
        )

    def parts(self, step: int, batch_tokens: int, seed: int) -> list[Part]:
        """The parts of update `step`."""
        ids_BT = torch.from_numpy(self.blocks.batch(step, max(1, batch_tokens // self.blocks.length), seed))
        masked = masked_for(self.encoder, ids_BT, seed_of("mask", seed, step))
        tokens = min(self.encoder.many_tokens, math.ceil(ids_BT.numel() / self.encoder.processes))
        return [
            Part(
                partial(masked_lm_loss, self.encoder, part, self.vocabulary, self.near, self.share, self.compiled),
                len(part.targets_M),
                part.ids_BT.numel(),
            )
            for part in parts_of(masked, tokens)
        ]

    def held_out_loss(self) -> dict[str, float]:
        """Mean masked-LM loss (nats) and perplexity on text that is never trained on, with fixed masks."""
        return held_out_loss(self.encoder, self.held_out)


def masked_for(encoder: Encoder, ids_BT: Tensor, seed: int) -> Masked:
    tokenizer = encoder.tokenizer
    special = torch.tensor(tokenizer.all_special_ids)
    mask_id = tokenizer.mask_token_id
    if mask_id is None:
        raise InputError(f"model '{encoder.ref.name}': its tokenizer has no mask token")
    return mask_tokens(ids_BT, special=special, mask_id=mask_id, vocabulary=len(tokenizer), seed=seed)


def parts_of(masked: Masked, tokens: int) -> Sequence[Masked]:
    """Blocks in parts of one size, of at most `tokens` each."""
    rows, length = masked.ids_BT.shape
    at_once = math.ceil(rows / math.ceil(rows / max(1, tokens // length)))
    per_row = masked.chosen_BT.sum(1).tolist()
    parts, start = [], 0
    for row in range(0, rows, at_once):
        end = start + sum(per_row[row : row + at_once])
        parts.append(
            Masked(
                masked.ids_BT[row : row + at_once], masked.chosen_BT[row : row + at_once], masked.targets_M[start:end]
            )
        )
        start = end
    return parts


class CorpusVocabulary(NamedTuple):
    """The tokens that occur in a text, for a cheaper softmax in training; held-out text gets the full one."""

    decoder: Decoder
    place_V: Tensor  # a token's row there; -1 where it doesn't occur

    @staticmethod
    def of(occurring: np.ndarray, encoder: Encoder) -> "CorpusVocabulary":
        ids_R = torch.from_numpy(occurring).long().to(encoder.device)
        place_V = torch.full((encoder.vocabulary,), -1, device=encoder.device)
        place_V[ids_R] = torch.arange(len(ids_R), device=encoder.device)
        return CorpusVocabulary(encoder.lm_head.rows(ids_R), place_V)


def masked_lm_loss(
    encoder: Encoder,
    masked: Masked,
    vocabulary: CorpusVocabulary | None = None,
    near: Callable[[Masked, Tensor], Tensor] | None = None,
    share: float = 1.0,
    compiled: CompiledPass | None = None,
) -> Tensor:
    """Summed cross-entropy; the last layer and the logits are computed at the masked positions only."""
    device = encoder.device
    if compiled is None:
        rows_M, columns_M = masked.chosen_BT.nonzero(as_tuple=True)  # here: counting them would make a GPU wait
        states_MD = encoder.hidden(masked.ids_BT.to(device), read=(rows_M.to(device), columns_M.to(device)))
    else:
        states_MD = compiled(masked.ids_BT, masked.chosen_BT)
    targets_M = masked.targets_M.to(device)
    if vocabulary is None:
        loss = encoder.masked_lm_loss(states_MD, targets_M)
    else:
        loss = encoder.masked_lm_loss(states_MD, vocabulary.place_V[targets_M], vocabulary.decoder)
    return loss if near is None else share * loss + near(masked, states_MD)


def masked_blocks(encoder: Encoder, blocks: np.ndarray, first: int) -> Masked:
    """Held-out blocks from the `first` on, each masked by its number: the same in batches of any size."""
    each = [
        masked_for(encoder, torch.from_numpy(block[None]), seed_of("held out", number))
        for number, block in enumerate(blocks, first)
    ]
    return Masked(*(torch.cat(parts) for parts in zip(*each, strict=True)))


@torch.no_grad()
def held_out_loss(encoder: Encoder, held_out: Blocks) -> dict[str, float]:
    total, count = 0.0, 0
    size = max(1, encoder.many_tokens // held_out.length)
    with encoder.evaluating():
        for number, rows in enumerate(held_out.in_order(size)):
            masked = masked_blocks(encoder, rows, number * size)
            total += masked_lm_loss(encoder, masked).item()
            count += len(masked.targets_M)
    mean = total / count
    return {"held_out_loss": mean, "perplexity": math.exp(min(mean, 50.0))}
