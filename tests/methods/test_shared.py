"""Layers that share a bottleneck stay equal in training, but for a bias; what is saved is an ordinary adapter."""

from pathlib import Path

import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter
from madx.methods.shared import OWN, SharedBottleneck
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])


def test_one_bottleneck_for_all_layers(encoder: Encoder, tmp_path: Path) -> None:
    spec = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())
    method, session = SharedBottleneck(spec=spec), Session(Store(tmp_path), encoder.device)
    with method.borrowed(encoder):
        parameters = method.attach(encoder, "swe", 1, session)
        first, *others = encoder.adapters.get("swe").bottlenecks.values()
        per_layer = dict(first.named_parameters())
        own = encoder.num_layers * per_layer[OWN].numel() + sum(p.numel() for k, p in per_layer.items() if k != OWN)
        inverse = sum(p.numel() for p in encoder.adapters.get("swe").invertible.parameters())  # type: ignore[union-attr]
        assert sum(p.numel() for p in parameters.values()) == own + inverse
        optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            encoder.hidden(IDS).square().sum().backward()
            optimizer.step()
        for other in others:
            for key, parameter in other.named_parameters():
                assert torch.equal(parameter, per_layer[key]) == (key != OWN), key
        states = encoder.hidden(IDS).detach()
        method.save(tmp_path / "swe", encoder, "swe", save_as="swe")
    name, adapter = load_adapter(tmp_path / "swe", encoder)
    encoder.activate(name)
    assert torch.equal(encoder.hidden(IDS), states)
    assert len(adapter.bottlenecks) == encoder.num_layers
