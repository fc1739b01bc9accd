"""The encoder in 8 bits: close to what it was, and put back afterwards."""

import pytest
import torch

from madx.adapters.spec import BottleneckSpec
from madx.config import RunError
from madx.encoders.encoder import Encoder
from madx.encoders.int8 import int8_weights

IDS = torch.tensor([[1, 50, 60, 70, 80, 2]])


@torch.no_grad()
def test_int8_is_close_keeps_the_adapters_and_is_undone(encoder: Encoder) -> None:
    torch.manual_seed(1)
    adapter = encoder.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn")))
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    bare = encoder.hidden(IDS)
    encoder.adapters.activate("swe")
    exact = encoder.hidden(IDS)
    with int8_weights(encoder.base):
        close = encoder.hidden(IDS)
    assert torch.equal(encoder.hidden(IDS), exact)
    assert not torch.equal(close, exact)
    assert (close - exact).norm() < 0.1 * (bare - exact).norm()


def test_without_8_bit_kernels_it_is_refused(tiny: Encoder) -> None:
    with pytest.raises(RunError, match="needs a CPU; this runs on meta"), int8_weights(tiny.base.to("meta")):
        pass
