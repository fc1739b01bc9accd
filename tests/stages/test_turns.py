"""Whose turn it is: in proportion to size, flattened by a temperature; a function of (seed, step)."""

import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.device import seed_of
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.source_data import Batches
from madx.stages.turns import Turns, shares
from madx.tasks.batches import training_order
from madx.tasks.examples import Feature


def features(count: int, first: int = 0) -> list[Feature]:
    return [Feature(((1,) * (3 + i % 5),), None, None, first + i) for i in range(count)]


DATA = {"eng": features(37), "swe": features(10, 100), "nno": features(3, 200)}


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0, 1e6])
def test_shares_are_the_formula_to_a_whole_number(temperature: float) -> None:
    sizes = [800, 150, 49, 1]
    found, weights = shares(sizes, temperature), [size ** (1 / temperature) for size in sizes]
    assert sum(found) == sum(sizes)
    assert all(abs(n - 1000 * w / sum(weights)) < 1 for n, w in zip(found, weights, strict=True))
    if temperature == 1.0:
        assert found == sizes


def test_nobody_is_left_out() -> None:
    rng = random.Random(0)
    for _ in range(300):
        sizes = [rng.choice([1, 2, 3, 50, 10_000]) for _ in range(rng.randint(1, 6))]
        assert min(shares(sizes, rng.choice([1.0, 1.5, 3.0, 10.0]))) >= 1, sizes


def test_each_has_its_turns_in_every_epoch_and_no_number_comes_twice() -> None:
    turns = Turns([5, 2, 3], seed=4)
    every = [turns(step) for step in range(30)]
    for epoch in range(3):
        assert Counter(i for i, _ in every[10 * epoch : 10 * epoch + 10]) == {0: 5, 1: 2, 2: 3}
    assert sorted(every) == [(i, k) for i, count in enumerate([5, 2, 3]) for k in range(3 * count)]
    assert [i for i, _ in every[:10]] != [i for i, _ in every[10:20]]


def test_at_temperature_1_an_epoch_is_each_example_once_as_it_always_was() -> None:
    """Finished trainings keep their names: what they did must stay too."""
    batches = Batches(DATA, 4, seed=7)
    wanted = [
        (language, [theirs[i] for i in rows])
        for number, (language, theirs) in enumerate(DATA.items())
        for rows in training_order(theirs, 4, (7, 1, number))
    ]
    mixed = torch.randperm(len(wanted), generator=torch.Generator().manual_seed(seed_of("mix", 7, 1)))
    assert len(batches) == 10 + 3 + 1
    assert [batches(14 + step) for step in range(14)] == [wanted[i] for i in mixed.tolist()]


def test_above_it_little_languages_come_round_more_often_and_nothing_is_skipped() -> None:
    batches = Batches(DATA, 4, seed=7, temperature=10.0)
    seen: dict[str, Counter[int]] = {language: Counter() for language in DATA}
    for step in range(5 * len(batches)):
        language, chosen = batches(step)
        seen[language].update(feature.example for feature in chosen)
    assert len(batches) == 14
    for number, share in enumerate(shares([10, 3, 1], 10.0)):
        _, counted = list(seen.items())[number]
        times, rest = divmod(5 * share, [10, 3, 1][number])
        assert set(counted.values()) <= {times, times + 1}
        assert min(counted.values()) == times
        assert (max(counted.values()) > times) == bool(rest)
    steps = list(range(70))
    random.Random(1).shuffle(steps)  # a resumed training asks from the middle on
    again = Batches(DATA, 4, seed=7, temperature=10.0)
    assert {step: again(step) for step in steps} == {step: batches(step) for step in range(70)}


def test_a_temperature_names_another_training_where_there_are_several_sources(project: Path) -> None:
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "tags.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))

    def name(*overrides: str) -> str:
        planner = Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)
        return planner.source_stage(planner.task("tags"), "madx", 1).name

    two, flat = "source=['eng', 'swe']", "task_adapter.temperature=5"
    assert name(two, "task_adapter.temperature=1") == name(two)
    assert name(two, flat) != name(two)
    assert name(flat) == name()
