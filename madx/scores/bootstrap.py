"""Bootstrap intervals over examples (Efron 1979; Koehn 2004): the same resamples for every method, so they pair."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

SEED = 20200501
MOST_KEPT = 64 << 20  # bytes of draws


def resampled_sums(counts_NK: np.ndarray, resamples: int) -> np.ndarray:
    """(N, K) counts per example to (resamples, K) sums. Depends on N alone in its draws: methods are paired."""
    n = len(counts_NK)
    weights = _kept_weights(n, resamples) if n * resamples <= MOST_KEPT else _weights(n, resamples)
    return np.concatenate([weights_RN @ counts_NK for weights_RN in weights])


@lru_cache(maxsize=2)  # a run's test sets are often of one size, and drawing takes longer than all else
def _kept_weights(n: int, resamples: int) -> list[np.ndarray]:
    return list(_weights(n, resamples))


def _weights(n: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each of n examples is in each resample, (R, N), in parts; a byte each: no example comes 255 times."""
    rng = np.random.default_rng((SEED, n))
    for start in range(0, resamples, 100):
        drawn_RN = rng.multinomial(n, np.full(n, 1 / n), size=min(100, resamples - start))
        yield np.minimum(drawn_RN, 255).astype(np.uint8)


def draws(counts_NK: np.ndarray, value: Callable[[np.ndarray], np.ndarray], resamples: int) -> np.ndarray:
    """The value in each resample, (resamples,)."""
    return value(resampled_sums(counts_NK, resamples)) if resamples else np.empty(0)


def interval(point: float, draws_R: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval at `level`; without resamples the value itself, twice."""
    if not draws_R.size:
        return point, point
    low, high = np.quantile(draws_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
