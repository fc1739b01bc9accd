"""A generated adapter is G f(V x), tensor by tensor, and gradients reach what generates it."""

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.adapters.generator import LAMBDA, Generated, Generator, layer_of
from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder

IDS = torch.tensor([[1, 50, 60, 70, 2]])
SPEC = BottleneckSpec(reduction_factor=4.0, placement=("attention", "ffn"))


def new(layer_shared: bool) -> tuple[Adapter, Generator]:
    torch.manual_seed(0)
    adapter = Adapter(SPEC, 16, 3, 16)
    return adapter, Generator(adapter, 5, layer_shared).double()


@pytest.mark.parametrize("layer_shared", [False, True])
def test_the_formula(layer_shared: bool) -> None:
    adapter, generator = new(layer_shared)
    about = torch.rand(5, dtype=torch.float64)
    z = generator.project.weight @ about
    for name, made in generator(about).items():
        assert made.shape == dict(adapter.named_parameters())[name].shape
        inputs = z if generator.layers is None else torch.cat([z, generator.layers.weight[layer_of(name)]])
        value = (generator.mix.weight @ inputs + generator.mix.bias).clamp(min=0)
        wanted = torch.einsum("nz,z->n", generator.maps[generator.key(name)], value)
        assert torch.allclose(made.flatten(), wanted, atol=1e-12), name


def test_layers_share_a_map_and_differ_by_their_own_vector() -> None:
    (_, apart), (_, shared) = new(False), new(True)
    assert len(shared.maps) * 3 == len(apart.maps)
    assert {m.shape[1] for m in shared.maps.values()} == {LAMBDA}
    made = shared(torch.rand(5, dtype=torch.float64))
    one, other = made["bottlenecks.ffn_0.down.weight"], made["bottlenecks.ffn_2.down.weight"]
    assert not torch.allclose(one, other)
    assert "bottlenecks/attention/down/weight" in shared.maps


def test_gradients_reach_the_generator_through_the_encoder(encoder: Encoder) -> None:
    adapter = encoder.add("made", BottleneckSpec(reduction_factor=4.0))
    plain = {name: p.detach().clone() for name, p in adapter.named_parameters()}
    generator = Generator(adapter, 3, layer_shared=False)
    generated = Generated(adapter)
    assert list(generated) == list(plain)
    encoder.activate("made")
    generated.put(plain)
    expected = encoder.hidden(IDS)
    generated.put({name: tensor.clone() for name, tensor in generator(torch.rand(3)).items()})
    states = encoder.hidden(IDS)
    assert not torch.allclose(states, expected)
    states.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in generator.maps.values())
    generated.put(plain)
    assert torch.equal(encoder.hidden(IDS), expected)
