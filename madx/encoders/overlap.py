"""How a vocabulary begins by its overlap with the encoder's: FOCUS (Dobler & de Melo 2023, arXiv 2305.14481).

e_a = sum_o w_ao e_o,   w_a = sparsemax(cos(x_a, x_o) over the overlap's o)

for a new piece a; the x are static vectors of the new pieces, made from the language's text. Theirs are fastText's;
here they are the singular vectors of the pieces' positive pointwise mutual information, times the roots of the singular
values (Levy & Goldberg 2014, window 5, 300 dimensions), which need no library and no training.

N new pieces, O of them in the overlap, K dimensions of a static vector, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

WINDOW, DIMENSIONS = 5, 300
AT_ONCE = 512  # rows of similarities
PIECES = 1 << 20  # of the text between two sums of counts


def static_vectors(lines: Iterable[Sequence[int]], pieces: int, seed: int) -> Tensor:
    """(N, K), of unit length; zero for a piece that is nowhere in the text. `lines`: of ids below `pieces`."""
    counts = _sparse(torch.empty(2, 0, dtype=torch.long), torch.empty(0), pieces)
    batch, size = list[Sequence[int]](), 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size >= PIECES:
            counts, batch, size = (counts + _pairs(batch, pieces)).coalesce(), [], 0
    counts = (counts + _pairs(batch, pieces)).coalesce()
    if not counts._nnz():
        return torch.zeros(pieces, 1)
    (rows, columns), together = counts.indices(), counts.values().double()
    of_row = torch.zeros(pieces, dtype=torch.double).index_add_(0, rows, together)
    ppmi = (together * together.sum() / (of_row[rows] * of_row[columns])).log().clamp_min(0).float()
    matrix = _sparse(counts.indices(), ppmi, pieces)
    with torch.random.fork_rng(devices=[]):  # the method draws at random
        torch.manual_seed(seed)
        left, values, _ = torch.svd_lowrank(matrix, q=min(DIMENSIONS, pieces), niter=4)
    vectors = left * values.sqrt()
    vectors[of_row == 0] = 0.0
    return torch.nn.functional.normalize(vectors)


def _pairs(lines: Sequence[Sequence[int]], pieces: int) -> Tensor:
    """How often two pieces stand at most WINDOW apart, each pair in both orders."""
    found = []
    for line in lines:
        ids = torch.tensor(line, dtype=torch.long)
        found += [torch.stack([ids[:-apart], ids[apart:]]) for apart in range(1, min(WINDOW, len(ids) - 1) + 1)]
    if not found:
        return _sparse(torch.empty(2, 0, dtype=torch.long), torch.empty(0), pieces)
    pairs = torch.cat(found, 1)
    both = torch.cat([pairs, pairs.flip(0)], 1)
    return _sparse(both, torch.ones(both.shape[1]), pieces)


def _sparse(where: Tensor, values: Tensor, pieces: int) -> Tensor:
    return torch.sparse_coo_tensor(where, values, (pieces, pieces), check_invariants=True).coalesce()


def sparsemax(scores: Tensor) -> Tensor:
    """The nearest point of the simplex to each row (Martins & Astudillo 2016, arXiv 1602.02068, algorithm 1)."""
    ordered = scores.sort(-1, descending=True).values
    ranks = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype, device=scores.device)
    sums = ordered.cumsum(-1)
    support = (1 + ranks * ordered > sums).sum(-1, keepdim=True)
    threshold = (sums.gather(-1, support - 1) - 1) / support
    return (scores - threshold).clamp_min(0)


def by_overlap(rows_NE: Tensor, vectors_NK: Tensor, overlap_O: Tensor) -> Tensor:
    """Rows for all pieces, of which those of the overlap stay; and so those of pieces without a vector."""
    known_O = overlap_O[vectors_NK[overlap_O].any(-1)]
    made_NE = rows_NE.clone()
    if not len(known_O):
        return made_NE
    others = vectors_NK.any(-1)
    others[overlap_O] = False
    new = others.nonzero()[:, 0]
    for first in range(0, len(new), AT_ONCE):
        part = new[first : first + AT_ONCE]
        made_NE[part] = sparsemax(vectors_NK[part] @ vectors_NK[known_O].T) @ rows_NE[known_O]
    return made_NE
