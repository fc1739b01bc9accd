"""Changes of an encoder's own weights: what is trained is what the next pass computes with."""

import pytest
import torch

from madx.encoders.changes import WeightChange
from madx.encoders.encoder import Encoder

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("some", [True, False])
def test_every_pass_of_a_training_sees_every_update(encoder_of_bert: Encoder, fused: bool, some: bool) -> None:
    """A fused optimizer doesn't raise a tensor's version; until that was known, no update reached the weights."""
    encoder, name = encoder_of_bert, "encoder.layer.1.output.dense.bias"
    weights = dict(encoder.base.named_parameters())
    at = torch.tensor([0, 3, 7]) if some else None
    before = weights[name].detach().clone()
    delta = torch.nn.Parameter(torch.zeros(3 if some else before.numel()))
    with encoder.lent():
        encoder.changes["x"] = change = WeightChange(weights, {name: delta}, {name: at})
        change.train(encoder.base)
        encoder.activate("x")
        optimizer = torch.optim.AdamW([delta], lr=0.1, fused=fused)
        seen = []
        for _ in range(3):
            states = encoder.hidden(IDS)
            seen.append(states.detach())
            assert torch.equal(weights[name].detach()[at if some else slice(None)],
                               before[at if some else slice(None)] + delta.detach())  # fmt: skip
            optimizer.zero_grad()
            states.square().sum().backward()
            optimizer.step()
        assert float(delta.detach().abs().max()) > 0.1
        assert not torch.equal(seen[0], seen[1])
        assert not torch.equal(seen[1], seen[2])
    assert torch.equal(weights[name].detach(), before)
