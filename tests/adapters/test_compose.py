"""Compositions, by what they must equal: each part of a nested setup is that setup alone."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madx.adapters.bottleneck import Bottleneck
from madx.adapters.compose import Passing, SiteModules, composed_output
from madx.adapters.fusion import FusionLayer, FusionSpec
from madx.adapters.setup import Average, BatchSplit, Fuse, Parallel, Setup, Split, Stack
from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder

IDS = torch.tensor([[1, 40, 50, 60, 70, 2], [1, 80, 90, 100, 110, 2], [1, 41, 51, 61, 71, 2]])


@pytest.fixture
def ready(encoder: Encoder) -> Encoder:
    """Each family, with four adapters whose weights are large enough to matter."""
    for number, name in enumerate(("a", "b", "c", "d")):
        torch.manual_seed(number)
        adapter = encoder.adapters.add(name, BottleneckSpec(reduction_factor=2.0, placement=("attention", "ffn")))
        for parameter in adapter.parameters():
            parameter.data.normal_(std=0.3)
    return encoder


def run(encoder: Encoder, setup: Setup, ids: torch.Tensor = IDS) -> torch.Tensor:
    encoder.adapters.activate(setup)
    with torch.no_grad():
        return encoder.hidden(ids)


def test_a_nested_stack_is_the_stack(ready: Encoder) -> None:
    assert torch.allclose(run(ready, Stack(Stack("a", "b"), "c")), run(ready, Stack("a", "b", "c")), atol=1e-6)


def test_a_stack_in_a_batch_split_is_that_stack(ready: Encoder) -> None:
    both = run(ready, BatchSplit(Stack("a", "b"), Stack("c", "d"), sizes=(1, 2)))
    assert torch.allclose(both[:1], run(ready, Stack("a", "b"), IDS[:1]), atol=1e-5)
    assert torch.allclose(both[1:], run(ready, Stack("c", "d"), IDS[1:]), atol=1e-5)
    assert not torch.allclose(both[1:], run(ready, Stack("a", "b"), IDS[1:]), atol=1e-3)


def test_parallel_is_each_child_on_the_whole_batch(ready: Encoder) -> None:
    both = run(ready, Parallel(Stack("a", "b"), "c"))
    assert torch.allclose(both[:3], run(ready, Stack("a", "b")), atol=1e-5)
    assert torch.allclose(both[3:], run(ready, "c"), atol=1e-5)


def test_an_average_of_one_adapter_with_itself_is_that_adapter(ready: Encoder) -> None:
    alone = run(ready, "a")
    assert torch.allclose(run(ready, Average("a", "a")), alone, atol=1e-5)
    assert torch.allclose(run(ready, Average("a", "b", weights=(1.0, 0.0))), alone, atol=1e-5)
    assert not torch.allclose(run(ready, Average("a", "b")), alone, atol=1e-3)


def test_a_split_must_fit(ready: Encoder) -> None:
    assert torch.allclose(run(ready, Split("a", "a", sizes=(2, 4))), run(ready, "a"), atol=1e-5)
    with pytest.raises(ValueError, match="6 tokens"):
        run(ready, Split("a", "b", sizes=(2, 2)))
    with pytest.raises(ValueError, match="3 sequences"):
        run(ready, BatchSplit("a", "b", sizes=(2, 2)))


def test_a_fusion_of_one_adapter_with_itself_is_that_adapter(ready: Encoder) -> None:
    ready.adapters.add_fusion("a,a", FusionSpec(value=False), "a", "a")
    assert torch.allclose(run(ready, Fuse("a", "a")), run(ready, "a"), atol=1e-5)


def test_swapping_back_to_nothing_is_the_base(ready: Encoder) -> None:
    run(ready, Average("a", "b"))
    ready.adapters.activate()
    with torch.no_grad():
        base = ready.hidden(IDS)
    ready.clear()
    with torch.no_grad():
        assert torch.equal(ready.hidden(IDS), base)


# ------------------------------------------------------------------------------------- one site, any specs, float64

WIDTH = 6
SPECS = st.builds(
    BottleneckSpec,
    reduction_factor=st.just(2.0),
    parallel=st.booleans(),
    original_ln_before=st.just(True),
    original_ln_after=st.booleans(),
    ln_before=st.booleans(),
    ln_after=st.booleans(),
    residual_before_ln=st.sampled_from([True, False, "post_add"]),
    adapter_residual_before_ln=st.booleans(),
    use_gating=st.booleans(),
    scaling=st.sampled_from([1.0, 4.0, "learned", "channel"]),
) | st.builds(
    BottleneckSpec,
    reduction_factor=st.just(3.0),
    parallel=st.booleans(),
    original_ln_before=st.just(False),
    original_ln_after=st.booleans(),
    residual_before_ln=st.booleans(),
)  # fmt: skip
ABSENT = st.none()  # an adapter of the setup without a module at this site
LAYOUTS = st.sampled_from(["post-norm", "pre-norm ffn", "pre-norm attention"])


def site_of(specs: list[BottleneckSpec | None], layout: str) -> tuple[SiteModules, Passing]:
    torch.manual_seed(len(specs))
    modules = {}
    for name, spec in zip("abcd", specs, strict=False):
        if spec is not None:
            modules[name] = Bottleneck(WIDTH, spec.bottleneck(WIDTH, 0), spec).double()
            for parameter in modules[name].parameters():
                parameter.data.normal_()
    norm = torch.nn.LayerNorm(WIDTH).double()
    for parameter in norm.parameters():
        parameter.data.normal_()
    x0, r = torch.randn(2, 4, 3, WIDTH, dtype=torch.float64).unbind()
    before, after = {"post-norm": (norm, norm), "pre-norm ffn": (None, None), "pre-norm attention": (norm, None)}[
        layout
    ]
    through = Passing(x0, r, norm(x0 + r) if layout == "post-norm" else None)
    return SiteModules(modules.get, {}.get, {}.__getitem__, before, after), through


def literally(specs: list[BottleneckSpec | None], site: SiteModules, x0: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """A stack, written out from AdapterHub's definitions, with nothing shared or saved."""
    h, last = x0, None
    for name, spec in zip("abcd", specs, strict=False):
        module = site.bottleneck(name)
        if spec is None or module is None:
            continue
        last = spec
        summed = h + r
        normed = summed if site.before is None else site.before(summed)
        entered = r if spec.parallel else normed if spec.original_ln_before else h
        residual = {True: h, False: entered, "post_add": summed}[spec.residual_before_ln]
        if spec.parallel:
            residual = torch.zeros_like(h)
        o = module.norm_before(entered) if spec.ln_before else entered
        o = module.up(torch.relu(module.down(o))) * module.scaling
        if spec.use_gating:
            o = o * torch.sigmoid(module.gate(entered)).mean(1, keepdim=True)
        if not spec.ln_after:
            h = o + residual
        elif spec.adapter_residual_before_ln:
            h = module.norm_after(o + residual)
        else:
            h = module.norm_after(o) + residual
    if last is not None and last.parallel:
        h = h + x0
    if site.after is not None and (last is None or last.original_ln_after):
        h = site.after(h + r)
    return h


@settings(deadline=None, max_examples=150)
@given(specs=st.lists(SPECS | ABSENT, min_size=1, max_size=4), layout=LAYOUTS)
def test_any_stack_is_the_formula_plain_or_nested(specs: list[BottleneckSpec | None], layout: str) -> None:
    site, through = site_of(specs, layout)
    names = "abcd"[: len(specs)]
    wanted = literally(specs, site, through.x0, through.r)
    stack = Stack(*names)
    same: list[Setup] = [stack, Stack(Stack(*names[:2]), *names[2:]), Parallel(stack), BatchSplit(stack, sizes=(4,))]
    same += [Average(stack), Stack(Average(names[0]), *names[1:]), Split(stack, sizes=(3,))]
    for setup in same:
        torch.testing.assert_close(composed_output(setup, site, through), wanted, rtol=1e-11, atol=1e-11)


@settings(deadline=None, max_examples=100)
@given(one=st.lists(SPECS | ABSENT, min_size=2, max_size=2), other=st.lists(SPECS | ABSENT, min_size=2, max_size=2),
       layout=LAYOUTS)  # fmt: skip
def test_each_part_of_a_batch_is_its_child_alone(
    one: list[BottleneckSpec | None], other: list[BottleneckSpec | None], layout: str
) -> None:
    """Whatever the other child's norms, residuals and way out are."""
    site, (x0, r, base) = site_of([*one, *other], layout)

    def alone(child: Setup, rows: slice) -> torch.Tensor:
        return composed_output(child, site, Passing(x0[rows], r[rows]))

    a, b = Stack("a", "b"), Stack("c", "d")
    wanted = torch.cat([alone(a, slice(0, 1)), alone(b, slice(1, 4))])
    found = composed_output(BatchSplit(a, b, sizes=(1, 3)), site, Passing(x0, r, base))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    # in a stack: what comes before goes into both
    wanted = torch.cat([alone(Stack("a", "b"), slice(0, 2)), alone(Stack("a", "c"), slice(2, 4))])
    found = composed_output(Stack("a", Parallel("b", "c")), site, Passing(x0, r, base))
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spec", [BottleneckSpec(), BottleneckSpec(parallel=True, original_ln_before=False)])
@pytest.mark.parametrize("residual_before", [False, True])
def test_a_fusion_of_an_adapter_with_itself_has_its_residual_once(spec: BottleneckSpec, residual_before: bool) -> None:
    site, through = site_of([spec], "post-norm")
    layer = FusionLayer(WIDTH, FusionSpec(value=False, residual_before=residual_before)).double()
    site = SiteModules(site.bottleneck, {"a,a": layer}.get, site.mix, site.before, site.after)
    alone: Any = composed_output("a", site, through)
    torch.testing.assert_close(composed_output(Fuse("a", "a"), site, through), alone, rtol=1e-11, atol=1e-11)
