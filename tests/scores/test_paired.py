"""Paired differences to the baseline."""

import numpy as np
import pytest

from madx.scores.bootstrap import draws
from madx.scores.paired import MEAN, Drawn, differences


def cells(gain: float, seeds: int = 3, targets: tuple[str, ...] = ("swe", "por", "eng")) -> dict:
    """Sentences differ widely in difficulty; the method is right a little more often on each."""
    rng = np.random.default_rng(0)
    made = {}
    for target in targets:
        hard = rng.random(400)
        for seed in range(seeds):
            luck = rng.normal(0, 0.02)
            for method, more in (("task-only", 0.0), ("madx", gain)):
                right = hard + luck + more
                counts = np.stack([right, np.ones(400)], axis=1)
                made[method, target, seed] = Drawn(100 * right.mean(), draws(counts, accuracy, 500))
    return made


def accuracy(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[..., 0] / sums[..., 1]


def test_what_both_share_falls_out() -> None:
    made = cells(0.01)
    rows = {row.target: row for row in differences("pos", "accuracy", made, ["eng"])}
    assert set(rows) == {"swe", "por", "eng", MEAN}
    assert rows["swe"].value == pytest.approx(1.0, abs=1e-6)
    assert rows["swe"].ci_high - rows["swe"].ci_low < 0.1
    alone = made["madx", "swe", 0].draws_R
    assert np.quantile(alone, 0.975) - np.quantile(alone, 0.025) > 3  # unpaired, nothing could be said


def test_the_source_is_not_in_the_mean_and_seeds_are_matched() -> None:
    made = cells(0.01)
    made["madx", "eng", 0] = Drawn(0.0, np.zeros(500))
    del made["madx", "por", 1]
    rows = {row.target: row for row in differences("pos", "accuracy", made, ["eng"])}
    assert rows[MEAN].value == pytest.approx(1.0, abs=1e-6)
    assert (rows["por"].seeds, rows["swe"].seeds) == (2, 3)


def test_without_the_baseline_there_is_nothing_to_say() -> None:
    made = {key: value for key, value in cells(0.01).items() if key[0] != "task-only"}
    assert differences("pos", "accuracy", made, ["eng"]) == []
