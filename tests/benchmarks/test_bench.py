"""The benchmark's arithmetic; its timings are its own affair."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from run import language_flops, ratios

SHAPE = {"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 16, "vocab_size": 100}


def test_ratios_are_taken_run_by_run() -> None:
    assert ratios([300.0, 400.0, 350.0], [100.0, 100.0, 50.0]) == (4.0, 3.0, 7.0)
    with pytest.raises(ValueError, match="argument 2"):
        ratios([1.0], [1.0, 2.0])


def test_operations_of_a_token_by_hand() -> None:
    """Two layers, of which the last is whole at half the positions only."""
    frozen = 2 * 3 * 64 + 1.5 * (64 + 2 * 8 * 16)
    adapters = 1.5 * 2 * 8 * 4 + 1.5 * 32
    attention = 2 * 4 * 10 * 8 * 3
    head = 0.5 * (4 * 8 * 100 + 6 * 64)
    assert language_flops(SHAPE, 10, 2.0, 0.5) == 4 * frozen + 6 * adapters + attention + head
