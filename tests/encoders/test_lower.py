"""Lower layers that are run once give the same states and the same gradients above them."""

import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import Encoder

IDS = torch.tensor([[1, 50, 60, 70, 80, 2], [1, 90, 100, 2, 0, 0]])
MASK = IDS != 0


def test_starting_above_the_lower_layers_is_exact(encoder: Encoder) -> None:
    torch.manual_seed(1)
    language = encoder.adapters.add("swe", BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    task = encoder.adapters.add("pos", BottleneckSpec(leave_out=(0,)))
    for parameter in (*language.parameters(), *task.parameters()):
        torch.nn.init.normal_(parameter, std=0.3)
    language.requires_grad_(False)
    encoder.adapters.activate("swe", "pos")
    ran: list[int] = []
    for number, layer in enumerate(encoder.layers.all):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    lower = encoder.lower_states(1, IDS, MASK, None)
    assert ran == [0]
    lower.states_BTD[~MASK] = 0.0  # what is padded doesn't matter
    results = []
    for below in (None, lower):
        states = encoder.hidden(IDS, MASK, read=(torch.tensor([0, 1]), torch.tensor([3, 2])), lower=below)
        results.append((states.detach(), *torch.autograd.grad(states.square().sum(), list(task.parameters()))))
    assert ran == [0, 0, 1, 1]
    for plain, fast in zip(*results, strict=True):
        assert torch.allclose(plain, fast, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))
    assert len(getattr(encoder.layers.parent, encoder.layers.name)) == encoder.num_layers
