"""Bootstrap intervals over examples (Efron 1979; Koehn 2004): the same resamples for every method, so they pair."""

from collections.abc import Callable

import numpy as np

SEED = 20200501


def resampled_sums(counts_NK: np.ndarray, resamples: int) -> np.ndarray:
    """(N, K) counts per example to (resamples, K) sums. Depends on N alone in its draws: methods are paired."""
    n = len(counts_NK)
    rng = np.random.default_rng((SEED, n))
    sums = np.empty((resamples, counts_NK.shape[1]))
    for start in range(0, resamples, 100):  # in parts, so that 10,000 examples stay small
        size = min(100, resamples - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size)
        sums[start : start + size] = weights @ counts_NK
    return sums


def draws(counts_NK: np.ndarray, value: Callable[[np.ndarray], np.ndarray], resamples: int) -> np.ndarray:
    """The value in each resample, (resamples,)."""
    return value(resampled_sums(counts_NK, resamples)) if resamples else np.empty(0)


def interval(point: float, draws_R: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval at `level`; without resamples the value itself, twice."""
    if not draws_R.size:
        return point, point
    low, high = np.quantile(draws_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
