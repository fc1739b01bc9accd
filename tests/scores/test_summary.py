"""Scores folded over seeds, targets and groups."""

import numpy as np
import pytest

from madx.scores.bootstrap import draws
from madx.scores.levels import MEAN, Cells, Drawn, Group, groups_of
from madx.scores.matrix import Matrix
from madx.scores.summary import Summary, interquartile_mean, profiles, rank, ranks, summaries

NONE = np.empty(0)


def fixed(values: dict[tuple[str, str, int], float], resamples: int = 20) -> Cells:
    return {key: Drawn(value, np.full(resamples, value)) for key, value in values.items()}


def folded(cells: Cells, *groups: Group) -> list[Summary]:
    return summaries("pos", "accuracy", cells, {target: 9 for _, target, _ in cells}, groups)


def test_an_interval_is_the_test_set_s_and_the_spread_stands_apart() -> None:
    rng = np.random.default_rng(0)
    counts = np.stack([rng.random(50) < 0.6, np.ones(50)], axis=1).astype(float)
    drawn = draws(counts, lambda sums: 100 * sums[..., 0] / sums[..., 1], 400)
    one = folded({("madx", "swe", 1): Drawn(60.0, drawn)})
    two = folded({("madx", "swe", 1): Drawn(60.0, drawn), ("madx", "swe", 2): Drawn(80.0, drawn + 20)})
    assert (one[0].spread, one[0].resampled) == (None, "sentences")
    assert one[0].ci_high - one[0].ci_low > 15
    assert two[0].value == 70.0
    assert two[0].spread == pytest.approx(200**0.5)
    # luck of the seeds doesn't widen what the test set leaves open
    assert two[0].ci_high - two[0].ci_low == pytest.approx(one[0].ci_high - one[0].ci_low)


def test_a_method_held_to_fewer_targets_leaves_every_method_a_mean() -> None:
    codes = {"madx": ["swe", "por", "fao"], "full": ["swe"], "task-only": ["swe", "por", "fao"]}
    groups = groups_of(codes, {})
    assert groups == [Group("targets", ("fao", "por", "swe")), Group("common targets", ("swe",))]
    cells = fixed({(m, t, 1): 50.0 + len(m) for m, own in codes.items() for t in [*own, "eng"]})
    matrix = Matrix(folded(cells, *groups), "pos", ["eng"])
    assert matrix.rows == ["fao", "por", "swe", "eng", MEAN, "mean of common targets"]
    assert matrix.at(MEAN, "full") is None
    assert matrix.at("mean of common targets", "full").value == 54.0  # type: ignore[union-attr]
    assert matrix.about(MEAN).sentences == 27


def test_every_method_has_a_mean_over_the_unseen_too() -> None:
    labels = {c: ["unseen"] for c in "abcd"} | {c: ["seen"] for c in "efg"}
    groups = groups_of({"madx": list("abcefg"), "task-only": list("abcdefg")}, labels)
    assert [(g.name, "".join(g.targets)) for g in groups] == [
        ("targets", "abcdefg"), ("common targets", "abcefg"), ("seen", "efg"), ("unseen", "abcd"),
        ("common unseen", "abc"),
    ]  # fmt: skip
    only = groups_of({"madx": list("abc"), "task-only": list("abcdefg")}, labels)
    assert [g.name for g in only] == ["targets", "common targets", "seen", "unseen"]  # the common ones are unseen ones


def test_groups_are_named_and_none_says_the_same_twice() -> None:
    labels = {c: ["seen", "family A", "family A1", "script Latn"] for c in "abc"}
    labels |= {"d": ["unseen", "family B", "script Latn"]}
    groups = groups_of({"madx": list("abcd")}, labels)
    assert [(g.name, len(g.targets)) for g in groups] == [("targets", 4), ("seen", 3), ("unseen", 1)]
    assert groups_of({"madx": []}, {}) == []


def test_ranks_share_ties_and_iqm_is_the_middle_half() -> None:
    seeds = {m: [{1: Drawn(v, NONE)} for v in own] for m, own in {"a": (9, 5), "b": (8, 5), "c": (7, 6)}.items()}
    assert {m: d.value for m, d in ranks(seeds).items()} == {"a": 1.75, "b": 2.25, "c": 2.0}
    targets = [{s: Drawn(float(v), NONE) for s, v in enumerate(row)} for row in ((0, 1, 2, 3), (4, 5, 6, 1000))]
    assert interquartile_mean(targets).value == 3.5  # 2, 3, 4, 5


def test_ranks_and_iqm_are_scipy_s() -> None:
    from scipy.stats import rankdata, trim_mean

    rng = np.random.default_rng(0)
    scores = {m: rng.integers(0, 4, 7).astype(float) for m in "abcde"}
    expected = rankdata(-np.stack(list(scores.values())), axis=0)
    assert np.array_equal(np.stack([rank(scores, m) for m in scores]), expected)
    for count in (1, 3, 4, 11):
        values = rng.normal(size=count)
        assert interquartile_mean([{0: Drawn(float(v), NONE)} for v in values]).value == pytest.approx(
            trim_mean(values, 0.25)
        )


def test_a_profile_is_the_share_above() -> None:
    cells = fixed(
        {("m", t, s): 10.0 * i for i, (t, s) in enumerate([("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)])}
    )
    points = {p.score: p.share for p in profiles("pos", "accuracy", cells, Group("targets", ("a", "b", "c")))}
    assert points[0.0] == 0.8
    assert points[20.0] == 0.4
    assert points[40.0] == 0.0


def test_without_resamples_nothing_is_claimed() -> None:
    cells = fixed({(m, t, s): 50.0 for m in "xy" for t in "abcdef" for s in (1, 2)}, 0)
    group = Group("targets", tuple("abcdef"))
    rows = folded(cells, group)
    assert {row.resampled for row in rows} == {"nothing"}
    assert all(row.ci_low == row.value == row.ci_high for row in rows)
    assert profiles("pos", "accuracy", cells, group)


def test_a_mean_over_languages_covers_as_often_as_it_says() -> None:
    """Languages x seeds x sentences: 20 languages drawn around 60, four seeds, each score with its sentences' noise.

    Levels that are sampled inside of others make it a little wide, never narrow.
    """
    rng, covered = np.random.default_rng(2), 0
    for _ in range(200):
        language, seed = rng.normal(0, 8, 20), rng.normal(0, 1, 4)
        cells = {}
        for t in range(20):
            for s in range(4):
                value = 60 + language[t] + seed[s] + rng.normal(0, 2)
                cells["m", f"{t:02}", s] = Drawn(value, value + rng.normal(0, 2, 200))
        group = Group("targets", tuple(f"{t:02}" for t in range(20)))
        mean = next(row for row in folded(cells, group) if row.target == MEAN and row.statistic == "mean")
        assert mean.resampled == "languages x seeds x sentences"
        covered += mean.ci_low <= 60 <= mean.ci_high
    assert 0.89 < covered / 200 <= 0.99
