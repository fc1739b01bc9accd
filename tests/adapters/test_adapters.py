"""The maths of adapters: properties that hold for any weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madx.adapters.bank import AdapterBank
from madx.adapters.bottleneck import Bottleneck
from madx.adapters.compose import Passing, SiteModules, composed_output
from madx.adapters.invertible import Glow, Nice
from madx.adapters.setup import Stack
from madx.adapters.spec import BottleneckSpec, InvertibleSpec


@settings(deadline=None, max_examples=30)
@given(width=st.integers(4, 40), factor=st.sampled_from([1.0, 1.5, 2.0, 4.0]), kind=st.sampled_from([Nice, Glow]))
def test_the_inverse_undoes_the_forward(width: int, factor: float, kind: type[Nice] | type[Glow]) -> None:
    torch.manual_seed(width)
    module = kind(width, factor, "relu").double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 3, width, dtype=torch.float64)
    assert torch.allclose(module.inverse(module(x)), x, atol=1e-6)
    assert module(x).shape == x.shape
    assert not torch.allclose(module(x), x)


def test_glow_runs_on_any_length_of_text() -> None:
    """The peer's slices the token axis and cannot run."""
    module = Glow(8, 2, "relu")
    for length in (1, 5, 9):
        assert module(torch.randn(2, length, 8)).shape == (2, length, 8)


def test_a_stack_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    spec = BottleneckSpec(reduction_factor=2.0)
    language, task = Bottleneck(8, 4, spec), Bottleneck(8, 4, spec)
    norm = torch.nn.LayerNorm(8)
    x0, r = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    s = x0 + r
    a_l = language.update(norm(s))
    expected = norm(s + a_l + task.update(norm(s + a_l)))
    site = SiteModules({"l": language, "t": task}.get, {}.get, {}.__getitem__, before=norm, after=norm)
    assert torch.allclose(composed_output(Stack("l", "t"), site, Passing(x0, r)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "layer", "size"),
    [
        (BottleneckSpec(reduction_factor=16.0), 0, 48),
        (BottleneckSpec(reduction_factor=1.5), 0, 512),
        (BottleneckSpec(reduction_factor=10_000.0), 0, 1),
        (BottleneckSpec(reduction_factor={"1": 2.0, "default": 8.0}), 1, 384),
        (BottleneckSpec(reduction_factor={"1": 2.0, "default": 8.0}), 0, 96),
        (BottleneckSpec(bottleneck_size=7), 0, 7),
    ],
)
def test_width_of_the_bottleneck(spec: BottleneckSpec, layer: int, size: int) -> None:
    assert spec.bottleneck(768, layer) == size


def test_leave_out_has_no_modules() -> None:
    bank = AdapterBank(width=8, num_layers=4, embedding_width=8)
    adapter = bank.add("swe", BottleneckSpec(leave_out=(0, 3), placement=("attention", "ffn")))
    assert sorted(adapter.bottlenecks) == ["attention_1", "attention_2", "ffn_1", "ffn_2"]
    bank.activate("swe")
    assert [bank.acts(i, "ffn") for i in range(4)] == [False, True, True, False]


def test_only_the_first_adapter_of_a_stack_inverts() -> None:
    bank = AdapterBank(width=8, num_layers=1, embedding_width=8)
    bank.add("swe", BottleneckSpec(invertible=InvertibleSpec()))
    bank.add("ner", BottleneckSpec())
    bank.activate("swe", "ner")
    assert bank.invertible is bank.get("swe").invertible
    bank.activate("ner", "swe")
    assert bank.invertible is None


def test_an_adapter_may_have_any_languages_or_tasks_name() -> None:
    """`cpu`, `pop` and `type` are names that torch's modules have already."""
    bank = AdapterBank(width=8, num_layers=1, embedding_width=8)
    for name in ("cpu", "pop", "type", "training"):
        bank.add(name, BottleneckSpec())
        bank.activate(name)
        assert bank.acts(0, "ffn")
    assert bank.names == ["cpu", "pop", "type", "training"]
    bank.clear()
    assert not list(bank.parameters())


def test_what_cannot_be_is_refused() -> None:
    bank = AdapterBank(width=8, num_layers=2, embedding_width=8)
    with pytest.raises(ValueError, match=r"leave_out = \[5\]: the encoder has the layers 0 to 1"):
        bank.add("swe", BottleneckSpec(leave_out=(5,)))
    with pytest.raises(ValueError, match="unknown non_linearity 'relux', did you mean 'relu"):
        BottleneckSpec(non_linearity="relux")
    with pytest.raises(ValueError, match="scaling"):
        BottleneckSpec(scaling="1.0")  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="no adapter 'por'"):
        bank.activate("por")
    with pytest.raises(ValueError, match="at least 0.01"):
        BottleneckSpec(reduction_factor=0.0)
