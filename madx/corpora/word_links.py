"""Which word of a sentence is which of its translation: IBM Model 1 that prefers the diagonal, both ways, intersected.

Brown et al. 1993 (Model 1); Dyer, Chahuneau and Smith 2013 (the diagonal, as in fast_align). S source words, T target.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS, DIAGONAL, NULL, LEAST = 6, 4.0, 1e-3, 0.3
# words, single characters of scripts without spaces, punctuation
_WORD = re.compile(r"[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")

Floats = NDArray[np.float64]
Pair = tuple[Sequence[str], Sequence[str]]


def words_of(sentence: str) -> list[str]:
    return _WORD.findall(sentence)


def word_links(pairs: Sequence[Pair]) -> list[list[tuple[int, int]]]:
    """For each pair (source words, target words) its links (source position, target position), one to one.

    Learnt from the pairs themselves: a few hundred are needed, some thousands are good.
    """
    forward = _posteriors(pairs)
    backward = _posteriors([(target, source) for source, target in pairs])
    found = []
    for there_ST, back_TS in zip(forward, backward, strict=True):
        both_ST = np.sqrt(there_ST * back_TS.T)
        links = []
        if both_ST.size:
            best_target, best_source = both_ST.argmax(1), both_ST.argmax(0)
            links = [
                (i, int(j))
                for i, j in enumerate(best_target)
                if best_source[j] == i and both_ST[i, j] > LEAST
            ]  # fmt: skip
        found.append(links)
    return found


def _posteriors(pairs: Sequence[Pair]) -> list[Floats]:
    """P(target word j comes from source word i), (S, T) of each pair."""
    source_numbers: dict[str, int] = {}
    target_numbers: dict[str, int] = {}
    cells, priors = [], []
    for source, target in pairs:
        i_S = np.array([source_numbers.setdefault(w.lower(), len(source_numbers)) for w in source], dtype=np.int64)
        j_T = np.array([target_numbers.setdefault(w.lower(), len(target_numbers)) for w in target], dtype=np.int64)
        cells.append((i_S[:, None] << 32) + j_T[None])
        across_S = (np.arange(len(source)) + 0.5) / max(1, len(source))
        down_T = (np.arange(len(target)) + 0.5) / max(1, len(target))
        priors.append(np.exp(-DIAGONAL * np.abs(across_S[:, None] - down_T[None])))
    if not cells:
        return []
    flat = np.concatenate([c.ravel() for c in cells])
    kinds, which = np.unique(flat, return_inverse=True)
    source_of = kinds >> 32
    ends = np.cumsum([c.size for c in cells])
    indices = [part.reshape(c.shape) for part, c in zip(np.split(which, ends[:-1]), cells, strict=True)]
    translation: Floats = np.ones(len(kinds))
    posteriors: list[Floats] = []
    for _ in range(ROUNDS):
        counts: Floats = np.zeros(len(kinds))
        posteriors = []
        for index_ST, prior_ST in zip(indices, priors, strict=True):
            joint_ST = translation[index_ST] * prior_ST
            # a word that nothing explains comes from nowhere
            posterior_ST = joint_ST / (joint_ST.sum(0, keepdims=True) + NULL * joint_ST.max(initial=0.0) + 1e-12)
            posteriors.append(posterior_ST)
            np.add.at(counts, index_ST.ravel(), posterior_ST.ravel())
        totals = np.bincount(source_of, weights=counts, minlength=len(source_numbers))
        translation = (counts + 1e-6) / (totals[source_of] + 1e-2)
    return posteriors
