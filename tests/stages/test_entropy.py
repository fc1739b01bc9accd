"""EMEA: a mixture's weights go down the entropy of each sentence's predictions, and are equal again for the next."""

import pytest
import torch

from madx.adapters.setup import Mix, Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import Encoder
from madx.stages.entropy import EntropyMinimisation
from madx.tasks.entropy import mean_entropy

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])
SPEC = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())


def mixed(encoder: Encoder, count: int) -> torch.Tensor:
    torch.manual_seed(0)
    names = [f"l{number}" for number in range(count)]
    for name in names:
        for parameter in encoder.add(name, SPEC).parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    for parameter in encoder.add("pos", BottleneckSpec()).parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    weights = torch.full((1 + encoder.num_layers, count), 1 / count)
    encoder.adapters.mixes["swe"] = weights
    encoder.setups["swe"] = Mix(*names, name="swe")
    encoder.activate("swe", "pos")
    return weights


def test_a_mixture_of_one_is_that_one_and_weights_choose(encoder: Encoder) -> None:
    mixed(encoder, 3)
    for number in range(3):
        chosen = torch.zeros(1 + encoder.num_layers, 3)
        chosen[:, number] = 1.0
        encoder.adapters.mixes["swe"] = chosen
        encoder.activate("swe", "pos")
        states = encoder.hidden(IDS)
        encoder.activate(f"l{number}", "pos")
        assert torch.allclose(encoder.hidden(IDS), states, atol=1e-5)


def test_outputs_are_summed_layer_by_layer(tiny: Encoder) -> None:
    weights = mixed(tiny, 2)
    weights[1] = torch.tensor([0.75, 0.5])
    seen = []

    def watch(name: str) -> None:
        bottleneck = tiny.adapters.get(name).at(0, "ffn")
        assert bottleneck is not None
        bottleneck.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))

    for name in ("l0", "l1", "pos"):
        watch(name)
    tiny.activate("swe", "pos")
    tiny.hidden(IDS)
    (one_in, one), (_, other), (entered, _) = seen
    assert tiny.adapters.active == Stack(Mix("l0", "l1", name="swe"), "pos")
    assert entered.shape == one_in.shape
    assert torch.isfinite(0.75 * one + 0.5 * other).all()
    read = torch.tensor([0, 1, 1]), torch.tensor([1, 2, 3])
    assert torch.allclose(tiny.hidden(IDS, torch.ones_like(IDS), read=read), tiny.hidden(IDS)[read], atol=1e-5)
    with pytest.raises(ValueError, match="no inverse"):
        tiny.adapters.unembed(torch.zeros(1, 16))


def test_the_step_is_the_gradients(tiny: Encoder) -> None:
    weights = mixed(tiny, 2)
    head = torch.nn.Linear(tiny.width, 5)

    def entropy() -> torch.Tensor:
        return mean_entropy(head(tiny.hidden(IDS[:1])))

    before = float(entropy().detach())
    start = weights.clone().requires_grad_(True)
    tiny.adapters.mixes["swe"] = start
    (gradient,) = torch.autograd.grad(entropy(), start)
    EntropyMinimisation(steps=1, rate=0.5).adapt(tiny, entropy)
    assert torch.allclose(tiny.adapters.mixes["swe"], weights - 0.5 * gradient, atol=1e-6)
    assert float(entropy().detach()) < before
    EntropyMinimisation(steps=5, rate=0.1).adapt(tiny, entropy)
    again = tiny.adapters.mixes["swe"]
    EntropyMinimisation(steps=5, rate=0.1).adapt(tiny, entropy)  # from equal weights, whatever was before
    assert torch.equal(tiny.adapters.mixes["swe"], again)
    tiny.activate("l0")
    EntropyMinimisation().adapt(tiny, entropy)  # no mixture: nothing to do


def test_entropy_in_nats() -> None:
    assert float(mean_entropy(torch.zeros(3, 4))) == pytest.approx(float(torch.tensor(4.0).log()))
    assert float(mean_entropy(torch.tensor([[100.0, 0.0]]))) == pytest.approx(0.0, abs=1e-6)
