"""Stage one with parallel text: the target's adapter is drawn to where the source's puts the same words.

Masked language modelling alone lets a language adapter drift from what a task adapter saw in stage two. Here each
linked target word's state, in every layer, is pulled to its source word's under the frozen source-language adapter, and
told apart from the batch's other words in the last (as Cao et al. 2020, arXiv 2002.03518, and Chi et al. 2021, arXiv
2106.06381, align whole encoders). N linked words, D width, V layers.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from madx.config import Frozen
from madx.corpora.parallel import ParallelText
from madx.corpora.word_links import word_links, words_of
from madx.encoders.encoder import Encoder
from madx.encoders.sites import Positions
from madx.stages.session import Session
from madx.step import AdapterStep
from madx.tasks.batches import Tokens
from madx.training.fit import Part

LONGEST = 128  # tokens of a sentence; what is beyond is cut
TEMPERATURE = 0.1


class Alignment(Frozen):
    """A language adapter's second aim: the states of another one, on parallel text."""

    parallel: ParallelText
    toward: AdapterStep  # the source language's, frozen
    weight: float  # of the alignment's mean loss beside the masked-LM's
    pairs: int  # in an update

    def about(self) -> dict[str, Any]:
        """For the adapter's manifest: no places."""
        return {
            "toward": self.toward.subject,
            "parallel": [{"name": f.name, "licence": f.licence} for f in self.parallel.files],
            "weight": self.weight,
            "pairs": self.pairs,
        }


class AlignedText:
    """That aim, as parts of an update of the adapter `own`."""

    def __init__(self, alignment: Alignment, encoder: Encoder, own: str, session: Session) -> None:
        self.alignment, self.encoder, self.own = alignment, encoder, own
        self.toward = alignment.toward.attach(encoder, session)
        self.pairs = SentencePairs(encoder, alignment.parallel.pairs())

    def parts(self, step: int, targets: int, seed: int) -> list[Part]:
        """`targets`: of the masked-LM parts beside it, by which an update's summed loss is divided."""
        scale = self.alignment.weight * targets
        batches = self.pairs.batch(step, self.alignment.pairs, seed, scale, self.encoder.device)
        return [
            Part(partial(alignment_loss, self.encoder, self.toward, self.own, batch), 0, batch.real_tokens)
            for batch in batches
        ]


class PairBatch(NamedTuple):
    """Sentence pairs side by side; `scale` makes their mean loss commensurable with a summed one."""

    source_BT: Tensor
    target_BT: Tensor
    source_N: Positions
    target_N: Positions
    pad_id: int
    scale: float

    @property
    def real_tokens(self) -> int:
        return sum(int((ids_BT != self.pad_id).sum()) for ids_BT in (self.source_BT, self.target_BT))


class SentencePairs:
    """Encoded sentence pairs with linked words; an update's batch is a function of (seed, step)."""

    def __init__(self, encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> None:
        tokenizer = encoder.tokenizer
        self.pad_id: int = tokenizer.pad_token_id
        self.micro_tokens = max(16 * LONGEST, encoder.micro_tokens)  # too few pairs are no contrast
        tokens = Tokens(tokenizer, min(LONGEST, encoder.max_length))
        words = [(words_of(source), words_of(target)) for source, target in pairs]
        self.pairs = []
        for (source, target), links in zip(words, word_links(words), strict=True):
            source_ids, source_first = _encode(source, tokens)
            target_ids, target_first = _encode(target, tokens)
            kept = [
                (source_first[i], target_first[j])
                for i, j in links
                if source_first[i] < len(source_ids) - 1 and target_first[j] < len(target_ids) - 1
            ]
            if kept:
                self.pairs.append((source_ids, target_ids, kept))

    def batch(self, step: int, count: int, seed: int, scale: float, device: torch.device) -> Iterator[PairBatch]:
        """`count` pairs of an update, in parts that fit; together their scales make `scale`."""
        rng = np.random.default_rng((seed, step))
        count = min(count, len(self.pairs))
        chosen = sorted(rng.choice(len(self.pairs), count, replace=False), key=lambda n: len(self.pairs[n][1]))
        rows = max(1, self.micro_tokens // max(len(self.pairs[n][1]) for n in chosen))
        for start in range(0, count, rows):
            part = [self.pairs[n] for n in chosen[start : start + rows]]
            links = [(row, i, j) for row, (_, _, linked) in enumerate(part) for i, j in linked]
            row_N, source_N, target_N = torch.tensor(links, device=device).T
            yield PairBatch(
                self._pad([source for source, _, _ in part]).to(device),
                self._pad([target for _, target, _ in part]).to(device),
                (row_N, source_N), (row_N, target_N), self.pad_id, scale * len(part) / count,
            )  # fmt: skip

    def _pad(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        return pad_sequence([torch.tensor(ids) for ids in sequences], batch_first=True, padding_value=self.pad_id)


def alignment_loss(encoder: Encoder, source_adapter: str, target_adapter: str, batch: PairBatch) -> Tensor:
    """Distance in every layer, in units of the source states' variance, and contrast in the last; times `scale`."""
    encoder.activate(source_adapter)
    with torch.no_grad(), encoder.evaluating():
        wanted_VND = encoder.states_by_layer(batch.source_BT, batch.source_BT != batch.pad_id, batch.source_N)
    encoder.activate(target_adapter)
    states_VND = encoder.states_by_layer(batch.target_BT, batch.target_BT != batch.pad_id, batch.target_N)
    distances = [
        ((state_ND - wanted_ND) ** 2).mean() / wanted_ND.var().clamp_min(1e-6)
        for state_ND, wanted_ND in zip(states_VND, wanted_VND, strict=True)
    ]
    similarity_NN = F.normalize(states_VND[-1], dim=-1) @ F.normalize(wanted_VND[-1], dim=-1).T / TEMPERATURE
    token_N = batch.source_BT[batch.source_N]
    # another occurrence of the same word is no contrast
    same_NN = (token_N[:, None] == token_N[None]) & ~torch.eye(len(token_N), dtype=torch.bool, device=token_N.device)
    here_N = torch.arange(len(token_N), device=token_N.device)
    contrast = F.cross_entropy(similarity_NN.masked_fill(same_NN, -1e4), here_N)
    return batch.scale * (torch.stack(distances).mean() + contrast)


def _encode(words: Sequence[str], tokens: Tokens) -> tuple[tuple[int, ...], list[int]]:
    """A sentence's ids, and where each word begins."""
    pieces = tokens.words(words)
    first = np.cumsum([1, *(len(p) for p in pieces)])[:-1].tolist()
    return tokens.single([i for piece in pieces for i in piece]), first
