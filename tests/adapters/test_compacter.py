"""Compacter: the formula, one rule for all sites, AdapterHub's folders."""

from pathlib import Path

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.adapters.compacter import PhmLinear, new_rule
from madx.adapters.spec import BottleneckSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapter_config import config_from_spec, spec_from_config
from madx.formats.adapterhub import load_adapter, save_adapter
from madx.methods.bottleneck import BottleneckAdapter

SPEC = BottleneckSpec(reduction_factor=4, placement=("attention", "ffn"), phm=2, non_linearity="gelu")


def test_a_layer_is_a_sum_of_kronecker_products() -> None:
    torch.manual_seed(0)
    rule = new_rule(4)
    rule.data.normal_()
    linear, x = PhmLinear(12, 8, rule), torch.randn(2, 3, 12)
    linear.b.data.normal_()
    weight = sum(
        torch.kron(rule[i], linear.W_left[i, :, :1] @ linear.W_right[i, :1, :]) for i in range(4)
    )  # fmt: skip
    assert torch.allclose(linear(x), x @ weight + linear.b, atol=1e-6)
    with pytest.raises(ValueError, match="12 x 6 can't be cut into 4 parts"):
        PhmLinear(12, 6, rule)


def test_one_rule_is_trained_by_all_sites(encoder: Encoder) -> None:
    adapter = encoder.add("pos", SPEC)
    names = dict(adapter.named_parameters())
    assert [name for name in names if "rule" in name] == ["phm_rule"]
    sites = 2 * encoder.num_layers
    down, up = 2 * (8 + 2) + 4, 2 * (2 + 8) + 16  # N (I / N + O / N) + O
    assert sum(p.numel() for p in names.values()) == 2**3 + sites * (down + up)
    encoder.activate("pos")
    adapter.phm_rule.data.normal_()  # type: ignore[union-attr]
    encoder.hidden(torch.tensor([[1, 50, 60, 2]])).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in names.values())
    encoder.clear()


def test_it_is_written_and_read_as_adapterhub_has_it(encoder: Encoder, tmp_path: Path) -> None:
    adapter = encoder.add("pos", SPEC)
    for parameter in adapter.parameters():
        parameter.data.normal_()
    encoder.activate("pos")
    ids = torch.tensor([[1, 50, 60, 2]])
    states = encoder.hidden(ids)
    save_adapter(tmp_path, encoder, "pos")
    encoder.clear()
    _, again = load_adapter(tmp_path, encoder)
    assert again.spec == adapter.spec
    encoder.activate("pos")
    assert torch.equal(encoder.hidden(ids), states)
    encoder.clear()


@pytest.mark.parametrize("change", [{"phm_rank": 2}, {"factorized_phm_W": False}, {"shared_W_phm": True}])
def test_other_compacters_are_refused(change: dict[str, object]) -> None:
    config = {**config_from_spec(SPEC, 16), **change}
    (key,) = change
    with pytest.raises(InputError, match=f"'{key}' is not supported"):
        spec_from_config(config, "file")
    assert spec_from_config(config_from_spec(SPEC, 16), "file") == SPEC


def test_what_cannot_be_cut_is_refused_before_any_work(tiny: Encoder) -> None:
    method = BottleneckAdapter(spec=BottleneckSpec(reduction_factor=16, phm=4))
    with pytest.raises(InputError, match="can't be cut into 4 parts"):
        method.check(tiny)
    assert isinstance(Adapter(SPEC, 16, 2, 16), Adapter)
