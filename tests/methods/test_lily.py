"""A cross-layer adapter is its formula; what layers share stays shared in training, in files and when loaded."""

from pathlib import Path

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.adapters.lily import RoutedUp, share_across_layers
from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.methods.lily import FILE, LilyAdapter
from madx.methods.loading import LOADED_BY
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])
SPEC = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())


def test_the_formula() -> None:
    torch.manual_seed(0)
    adapter = Adapter(BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn")), 12, 5, 12)
    share_across_layers(adapter, groups=2, experts=3)
    adapter.double()
    h = torch.randn(2, 4, 12, dtype=torch.float64)
    for bottleneck in adapter.bottlenecks.values():
        up, down = bottleneck.up, bottleneck.down
        assert isinstance(up, RoutedUp)
        torch.nn.init.normal_(up.router.weight)
        z = (h @ down.weight.T + down.bias).clamp(min=0)
        scores = z @ up.router.weight.T + up.router.bias
        p = scores.exp() / scores.exp().sum(-1, keepdim=True)
        wanted = sum(p[..., e : e + 1] * (z @ up.pool_ERD[e]) for e in range(3)) + up.bias_D
        assert torch.allclose(bottleneck.update(h), wanted, atol=1e-12)
        assert torch.allclose(bottleneck.update(h[:, 1:2]), wanted[:, 1:2], atol=1e-12)  # by token


def test_who_shares_what() -> None:
    adapter = Adapter(BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn"), leave_out=(1,)), 12, 6, 12)
    share_across_layers(adapter, groups=2, experts=3)
    downs = {key: id(bottleneck.down) for key, bottleneck in adapter.bottlenecks.items()}
    ffn = [downs[f"ffn_{layer}"] for layer in (0, 2, 3, 4, 5)]
    assert ffn[0] == ffn[1] == ffn[2] != ffn[3] == ffn[4]
    assert downs["attention_0"] != downs["ffn_0"]
    pools = {key.split("_")[0]: id(bottleneck.up.pool_ERD) for key, bottleneck in adapter.bottlenecks.items()}
    assert len(set(pools.values())) == 2
    shared = 2 * (2 * (12 * 6 + 6) + 3 * 6 * 12 + 12)  # at two places: two groups' down, three up and a bias
    routers = 10 * (6 * 3 + 3)
    assert sum(p.numel() for p in adapter.parameters()) == shared + routers


def test_it_is_trained_saved_and_loaded(encoder: Encoder, tmp_path: Path) -> None:
    method, session = LilyAdapter(spec=SPEC, groups=1, experts=2), Session(Store(tmp_path / "store"), encoder.device)
    method.check(encoder)
    with method.borrowed(encoder):
        parameters = method.attach(encoder, "swe", 1, session)
        before = {key: p.detach().clone() for key, p in parameters.items()}
        optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
        encoder.masked_lm_loss(encoder.hidden(IDS)[0], IDS[0]).backward()
        optimizer.step()
        moved = {key for key, p in parameters.items() if not torch.equal(p, before[key])}
        assert {key for key in parameters if "bottlenecks" in key} <= moved
        first, second = list(encoder.adapters.get("swe").bottlenecks.values())[:2]
        assert first.down is second.down
        assert first.up.pool_ERD is second.up.pool_ERD
        states = encoder.hidden(IDS).detach()
        method.save(tmp_path, encoder, "swe", save_as="swe")
    with encoder.lent():
        LOADED_BY["lily"].load(tmp_path, encoder, "a language")
        encoder.activate("a language")
        assert torch.equal(encoder.hidden(IDS), states)
        assert not any(p.requires_grad for p in encoder.adapters.get("a language").parameters())
    (tmp_path / FILE).write_bytes(b"no")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        LOADED_BY["lily"].load(tmp_path, encoder, "a language")


def test_what_cannot_be_shared(tiny: Encoder) -> None:
    with pytest.raises(InputError, match="lily.groups = 3: there are 2 layers with adapters"):
        LilyAdapter(spec=SPEC).check(tiny)
    per_layer = SPEC.model_copy(update={"reduction_factor": {"default": 2.0}})
    with pytest.raises(InputError, match="has one reduction_factor"):
        LilyAdapter(spec=per_layer, groups=1).check(tiny)
