"""Compositions, by what they must equal: each part of a nested setup is that setup alone."""

import pytest
import torch

from madx.adapters.fusion import FusionSpec
from madx.adapters.setup import Average, BatchSplit, Fuse, Parallel, Setup, Split, Stack
from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder

IDS = torch.tensor([[1, 40, 50, 60, 70, 2], [1, 80, 90, 100, 110, 2], [1, 41, 51, 61, 71, 2]])


@pytest.fixture
def ready(encoder: Encoder) -> Encoder:
    """Each family, with four adapters whose weights are large enough to matter."""
    for number, name in enumerate(("a", "b", "c", "d")):
        torch.manual_seed(number)
        adapter = encoder.adapters.add(name, BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn")))
        for parameter in adapter.parameters():
            parameter.data.normal_(std=0.3)
    return encoder


def run(encoder: Encoder, setup: Setup, ids: torch.Tensor = IDS) -> torch.Tensor:
    encoder.adapters.activate(setup)
    with torch.no_grad():
        return encoder.hidden(ids)


def test_a_nested_stack_is_the_stack(ready: Encoder) -> None:
    assert torch.allclose(run(ready, Stack(Stack("a", "b"), "c")), run(ready, Stack("a", "b", "c")), atol=1e-6)


def test_a_stack_in_a_batch_split_is_that_stack(ready: Encoder) -> None:
    both = run(ready, BatchSplit(Stack("a", "b"), Stack("c", "d"), sizes=(1, 2)))
    assert torch.allclose(both[:1], run(ready, Stack("a", "b"), IDS[:1]), atol=1e-5)
    assert torch.allclose(both[1:], run(ready, Stack("c", "d"), IDS[1:]), atol=1e-5)
    assert not torch.allclose(both[1:], run(ready, Stack("a", "b"), IDS[1:]), atol=1e-3)


def test_parallel_is_each_child_on_the_whole_batch(ready: Encoder) -> None:
    both = run(ready, Parallel(Stack("a", "b"), "c"))
    assert torch.allclose(both[:3], run(ready, Stack("a", "b")), atol=1e-5)
    assert torch.allclose(both[3:], run(ready, "c"), atol=1e-5)


def test_an_average_of_one_adapter_with_itself_is_that_adapter(ready: Encoder) -> None:
    alone = run(ready, "a")
    assert torch.allclose(run(ready, Average("a", "a")), alone, atol=1e-5)
    assert torch.allclose(run(ready, Average("a", "b", weights=(1.0, 0.0))), alone, atol=1e-5)
    assert not torch.allclose(run(ready, Average("a", "b")), alone, atol=1e-3)


def test_a_split_must_fit(ready: Encoder) -> None:
    assert torch.allclose(run(ready, Split("a", "a", sizes=(2, 4))), run(ready, "a"), atol=1e-5)
    with pytest.raises(ValueError, match="6 tokens"):
        run(ready, Split("a", "b", sizes=(2, 2)))
    with pytest.raises(ValueError, match="3 sequences"):
        run(ready, BatchSplit("a", "b", sizes=(2, 2)))


def test_a_fusion_of_one_adapter_with_itself_is_that_adapter(ready: Encoder) -> None:
    ready.adapters.add_fusion("a,a", FusionSpec(value=False), "a", "a")
    assert torch.allclose(run(ready, Fuse("a", "a")), run(ready, "a"), atol=1e-5)


def test_swapping_back_to_nothing_is_the_base(ready: Encoder) -> None:
    run(ready, Average("a", "b"))
    ready.adapters.activate()
    with torch.no_grad():
        base = ready.hidden(IDS)
    ready.clear()
    with torch.no_grad():
        assert torch.equal(ready.hidden(IDS), base)
