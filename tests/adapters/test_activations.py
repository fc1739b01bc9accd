"""Non-linearities are transformers' of the same names; adapters/ itself knows no transformers."""

import pytest
import torch
from transformers.activations import ACT2FN

from madx.adapters.activations import ACTIVATIONS, activation
from madx.adapters.spec import NON_LINEARITIES

OURS = {"leakyrelu", "elu"}  # the peer's other name for leaky_relu; torch's


def test_a_spec_knows_the_names_that_there_are() -> None:
    assert set(NON_LINEARITIES) == set(ACTIVATIONS)
    assert activation("ReLU") is activation("relu")
    with pytest.raises(ValueError, match="unknown non_linearity 'relux'"):
        activation("relux")


@pytest.mark.parametrize("name", sorted(set(NON_LINEARITIES) - OURS))
def test_they_are_transformers_own(name: str) -> None:
    x = torch.cat([torch.linspace(-20, 20, 401), torch.tensor([0.0])]).double().requires_grad_()
    theirs, ours = ACT2FN[name](x), activation(name)(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    (wanted,), (found,) = torch.autograd.grad(theirs.sum(), x), torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
