"""HyperFormer++: the network's formula, written out, and how it begins."""

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.adapters.hyperformer import STD, TaskNetwork
from madx.adapters.spec import BottleneckSpec


def test_the_formula() -> None:
    torch.manual_seed(0)
    adapter = Adapter(BottleneckSpec(reduction_factor=3.0, placement=("attention", "ffn"), leave_out=(1,)), 12, 4, 12)
    network = TaskNetwork(adapter, tasks=3).double()
    for parameter in network.parameters():  # norms and biases begin where they would hide a fault
        parameter.data.normal_()
    assert len(network.maps) == 4  # weight and bias, down and up: of all layers and places
    first, _, second, norm = network.mix
    made = network(2)
    assert made.keys() == dict(adapter.named_parameters()).keys()
    for name, tensor in made.items():
        _, site, part, own = name.split(".")
        place, layer = site.split("_")
        about = [network.tasks.weight[2], network.layers.weight[int(layer)]]
        about.append(network.places.weight[{"attention": 0, "ffn": 1}[place]])
        hidden = (first.weight @ torch.cat(about) + first.bias).clamp(min=0)
        code = second.weight @ hidden + second.bias
        code = (code - code.mean()) / (code.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
        map_ = network.maps[f"{part}/{own}"]
        assert torch.allclose(tensor.flatten(), map_.weight @ code + map_.bias, atol=1e-12, rtol=1e-10), name
        assert tensor.shape == adapter.get_parameter(name).shape


def test_tasks_layers_and_places_are_told_apart() -> None:
    torch.manual_seed(0)
    adapter = Adapter(BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn")), 8, 2, 8)
    network = TaskNetwork(adapter, tasks=2)
    up = [t for task in (0, 1) for name, t in network(task).items() if name.endswith("up.weight")]
    assert len(up) == 8
    assert len({tuple(t.flatten().tolist()) for t in up}) == 8


def test_it_begins_as_small_as_a_bottleneck() -> None:
    torch.manual_seed(0)
    network = TaskNetwork(Adapter(BottleneckSpec(), 128, 6, 128), tasks=2)
    weights = torch.cat([t.flatten() for name, t in network(1).items() if "weight" in name])
    assert float(weights.detach().std()) == pytest.approx(STD, rel=0.2)
