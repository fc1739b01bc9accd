"""Intervals and the folded matrix."""

from pathlib import Path

import numpy as np
import pytest

from madx.config import InputError
from madx.scores.bootstrap import draws, interval, resampled_sums
from madx.scores.rows import read_rows, write_rows
from madx.scores.score import Score


def accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[..., 0] / sums[..., 1]


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        right = (rng.random(300) < 0.7).astype(float)
        counts = np.stack([right, np.ones(300)], axis=1)
        value = float(accuracy(counts.sum(0)))
        low, high = interval(value, draws(counts, accuracy, 300))
        assert low <= value <= high
        covered += low <= 70 <= high
    assert 0.89 < covered / 200 < 0.99


def test_two_methods_meet_the_same_resamples() -> None:
    counts = np.stack([np.arange(50.0), np.ones(50)], axis=1)
    first, second = resampled_sums(counts, 120), resampled_sums(counts[:, ::-1], 120)
    assert np.array_equal(first, second[:, ::-1])


def test_no_resamples_no_interval() -> None:
    assert interval(50.0, draws(np.array([[1.0, 2.0]]), accuracy, 0)) == (50.0, 50.0)


def score(method: str, target: str, value: float, seed: int = 1) -> Score:
    return Score(
        model="mini", task="pos", metric="accuracy", method=method, source="eng", target=target, seed=seed, value=value,
        ci_low=value - 1, ci_high=value + 1, n=9, adapter_ids="a+b",
    )  # fmt: skip


def test_scores_survive_the_file(tmp_path: Path) -> None:
    scores = [score("madx", "swe", 100 / 3, seed) for seed in (1, 2)]
    write_rows(tmp_path / "scores.csv", Score, scores)
    assert read_rows(tmp_path / "scores.csv", Score) == scores
    text = (tmp_path / "scores.csv").read_text().replace("33.3", "x33.3", 1)
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(InputError, match=r"scores\.csv:2"):
        read_rows(tmp_path / "scores.csv", Score)


def test_many_resamples_are_drawn_in_parts_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from madx.scores import bootstrap

    counts = np.random.default_rng(0).integers(0, 9, (40, 2)).astype(float)
    kept = bootstrap.resampled_sums(counts, 250)
    monkeypatch.setattr(bootstrap, "MOST_KEPT", 0)
    before = bootstrap._kept_weights.cache_info()
    assert np.array_equal(bootstrap.resampled_sums(counts, 250), kept)
    assert bootstrap._kept_weights.cache_info() == before
