"""Paired differences to the baseline."""

import numpy as np
import pytest

from madx.scores.bootstrap import draws
from madx.scores.levels import MEAN, Drawn, Group
from madx.scores.paired import Difference, differences, holm, improvement, p_value, pairs


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


def against_task_only(made: dict, *targets: str) -> dict[str, Difference]:
    rows, _ = differences("pos", "accuracy", made, [Group("targets", targets)])
    return {row.target: row for row in rows if row.baseline == "task-only"}


def test_what_both_share_falls_out() -> None:
    made = cells(0.01)
    rows = against_task_only(made, "swe", "por")
    assert set(rows) == {"swe", "por", "eng", MEAN}
    assert rows["swe"].value == pytest.approx(1.0, abs=1e-6)
    assert rows["swe"].ci_high - rows["swe"].ci_low < 0.1
    alone = made["madx", "swe", 0].draws_R
    assert np.quantile(alone, 0.975) - np.quantile(alone, 0.025) > 3  # unpaired, nothing could be said


def test_the_source_is_not_in_the_mean_and_seeds_are_matched() -> None:
    made = cells(0.01)
    made["madx", "eng", 0] = Drawn(0.0, np.zeros(500))
    del made["madx", "por", 1]
    rows = against_task_only(made, "swe", "por")
    assert rows[MEAN].value == pytest.approx(1.0, abs=1e-6)
    assert (rows["por"].seeds, rows["swe"].seeds) == (2, 3)


def test_every_two_methods_are_compared_and_task_only_is_the_baseline() -> None:
    assert list(pairs(["task-only", "madx", "full"])) == [
        ("madx", "full"),
        ("madx", "task-only"),
        ("full", "task-only"),
    ]
    made = {("full" if m == "task-only" else m, t, s): d for (m, t, s), d in cells(0.01).items()}
    rows, _ = differences("pos", "accuracy", made, [])
    assert {(row.method, row.baseline, row.target) for row in rows} == {
        ("full", "madx", target) for target in ("swe", "por", "eng")
    }


def test_a_mean_says_what_was_resampled() -> None:
    few = against_task_only(cells(0.01), "swe", "por")
    assert (few[MEAN].resampled, few["swe"].resampled) == ("seeds x sentences",) * 2
    many = tuple("abcdef")
    assert against_task_only(cells(0.01, 1, many), *many)[MEAN].resampled == "languages x sentences"


def test_wins_are_those_beyond_doubt() -> None:
    made = cells(0.0, 1, ("a", "b", "c"))
    for target, more in (("a", 9.0), ("b", -9.0), ("c", 0.01)):
        value, draws_R = made["task-only", target, 0]
        noise = np.random.default_rng(3).normal(0, 1, len(draws_R))
        made["madx", target, 0] = Drawn(value + more, draws_R + more + noise)
    _, (comparison,) = differences("pos", "accuracy", made, [Group("targets", ("a", "b", "c"))])
    assert (comparison.wins, comparison.losses, comparison.undecided) == (1, 1, 1)
    assert comparison.improvement == pytest.approx(2 / 3)


def test_holm_by_hand_and_by_statsmodels() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 4 x 0.005, 3 x 0.01, 2 x 0.03, at least that
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    drawn = np.random.default_rng(0).random(40) ** 3
    assert holm(list(drawn)) == pytest.approx(list(multitest.multipletests(drawn, method="holm")[1]))


def test_improvement_is_mann_whitney() -> None:
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 7).astype(float), rng.integers(0, 7, 5).astype(float)
    seeds = [{i: Drawn(v, np.full(3, v)) for i, v in enumerate(values)} for values in (x, y)]
    assert improvement(*seeds).value == pytest.approx(mannwhitneyu(x, y).statistic / (len(x) * len(y)))


def test_a_single_sentence_proves_nothing() -> None:
    assert p_value(100.0, np.full(50, 100.0)) == 1.0
    assert p_value(1.0, np.empty(0)) == 1.0


def test_an_interval_of_a_difference_covers_as_often_as_it_says() -> None:
    """Sentences x seeds: five seeds with luck of their own, 300 sentences; true difference 2 points."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(150):
        made = {}
        hard = rng.random(300)
        for method, gain in (("madx", 0.02), ("task-only", 0.0)):
            for seed in range(5):
                chance = 0.2 + 0.6 * hard + gain + rng.normal(0, 0.01)
                counts = np.stack([rng.random(300) < chance, np.ones(300)], axis=1).astype(float)
                made[method, "swe", seed] = Drawn(float(accuracy(counts.sum(0))), draws(counts, accuracy, 200))
        row = against_task_only(made)["swe"]
        covered += row.ci_low <= 2.0 <= row.ci_high
    assert 0.88 < covered / 150 <= 1.0
