"""Rows by overlap (FOCUS): sparsemax against its definition, static vectors by hand, and that likeness is found."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from madx.encoders.overlap import by_overlap, sparsemax, static_vectors

Scores = st.lists(st.floats(-3, 3), min_size=1, max_size=12)


@given(Scores)
def test_sparsemax_is_the_nearest_point_of_the_simplex(scores: list[float]) -> None:
    """By what marks the projection: one threshold, below which there is nothing, above which the rest."""
    z = torch.tensor([scores], dtype=torch.float64)
    (p,) = sparsemax(z)
    assert float(p.sum()) == pytest.approx(1)
    assert bool((p >= 0).all())
    inside = p > 1e-12
    thresholds = (z[0] - p)[inside]
    assert float(thresholds.max() - thresholds.min()) < 1e-9
    assert bool((z[0][~inside] <= thresholds[0] + 1e-9).all())


def test_a_row_is_the_sparsemax_of_cosines_times_the_overlaps_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator, dtype=torch.float64))
    vectors[5] = 0.0  # nowhere in the text
    rows = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    overlap = torch.tensor([0, 2, 3])
    made = by_overlap(rows, vectors, overlap)
    for kept in (0, 2, 3, 5):
        assert torch.equal(made[kept], rows[kept])
    for new in (1, 4):
        weights = sparsemax(torch.stack([vectors[new] @ vectors[o] for o in overlap])[None])[0]
        wanted = sum(w * rows[o] for w, o in zip(weights, overlap, strict=True))
        assert torch.allclose(made[new], wanted, atol=1e-12)
    assert torch.equal(by_overlap(rows, vectors, torch.tensor([5])), rows)  # nothing to be alike to


def test_static_vectors_have_the_mutual_information_as_products() -> None:
    """With as many dimensions as pieces, U S V^T is the matrix of PPMI, and U and V differ by signs alone."""
    lines = [[0, 1, 2], [0, 3], [1, 2, 1]]
    counts = torch.zeros(5, 5, dtype=torch.float64)
    for line in lines:
        for i, a in enumerate(line):
            for j, b in enumerate(line):
                counts[a, b] += i != j
    total, of = counts.sum(), counts.sum(1)
    ppmi = torch.tensor(
        [[max(0.0, math.log(counts[a, b] * total / (of[a] * of[b]))) if counts[a, b] else 0.0 for b in range(5)]
         for a in range(5)]
    )  # fmt: skip
    left, values, _ = torch.linalg.svd(ppmi)
    wanted = torch.nn.functional.normalize(left * values.sqrt())
    found = static_vectors(lines, 5, seed=1)
    assert torch.allclose(found[:4] @ found[:4].T, wanted[:4] @ wanted[:4].T, atol=1e-4)
    assert not found[4].any()  # nowhere in the text
    assert torch.equal(static_vectors(lines, 5, seed=1), found)
    assert not static_vectors([], 5, seed=1).any()


def test_pieces_of_like_use_are_alike() -> None:
    lines = [[first, 2, 3, 4] if i % 2 else [5, 6, 7, other] for i in range(50) for first, other in ((0, 8), (1, 9))]
    found = static_vectors(lines, 10, seed=1)
    assert found[0] @ found[1] > 0.9  # they stand before the same pieces
    assert found[0] @ found[8] < 0.5
