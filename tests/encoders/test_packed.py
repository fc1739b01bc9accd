"""A batch without its padding gives the states and gradients of the padded one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import FAMILIES, VOCABULARY, make_encoder

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.encoders import packed
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.packed import Packed
from madx.encoders.reference import resolve_encoder

LENGTHS = (12, 7, 7, 12, 3)
MASK = torch.arange(12)[None] < torch.tensor(LENGTHS)[:, None]
NOT_PACKED = ("deberta-v2", "rembert")  # their attention isn't one of transformers' functions
READ = (torch.tensor([0, 0, 1, 2, 3, 4, 4]), torch.tensor([0, 11, 3, 0, 5, 0, 2]))


def ids() -> torch.Tensor:
    chosen = torch.randint(3, VOCABULARY, MASK.shape, generator=torch.Generator().manual_seed(1))
    chosen[3, 5] = 0  # a padding token inside of a text, which RoBERTa doesn't count
    return chosen.masked_fill(~MASK, 0)


def both_ways(encoder: Encoder, spec: BottleneckSpec) -> tuple[int, list[list[torch.Tensor]]]:
    """How many tokens the first linear layer saw when packed; states and gradients, padded and packed."""
    torch.manual_seed(2)
    for name in ("swe", "pos"):
        for parameter in encoder.adapters.add(name, spec).parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    encoder.adapters.activate("swe", "pos")
    trained = [*encoder.adapters.parameters(), *encoder.model.get_input_embeddings().parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    seen: list[int] = []
    linear = next(m for m in encoder.base.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
    direction = torch.randn(len(READ[0]), encoder.width)
    results = []
    for can_pack in (False, encoder.can_pack):
        encoder.can_pack = can_pack
        states = encoder.hidden(ids(), MASK, read=READ)
        gradients = torch.autograd.grad((states * direction).sum(), trained, allow_unused=True)
        results.append([states.detach(), *(g for g in gradients if g is not None)])
    return seen[1], results


def same(results: list[list[torch.Tensor]]) -> bool:
    return all(
        torch.allclose(plain, packed, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
        for plain, packed in zip(*results, strict=True)
    )


def test_packing_is_exact(encoder: Encoder) -> None:
    seen, results = both_ways(encoder, BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    assert same(results)
    assert encoder.can_pack or encoder.model_type in NOT_PACKED
    assert seen == (sum(LENGTHS) if encoder.can_pack else MASK.numel())


def test_a_gate_over_a_whole_sentence_is_not_packed(encoder: Encoder) -> None:
    seen, results = both_ways(encoder, BottleneckSpec(use_gating=True))
    assert same(results)
    assert seen == MASK.numel()


@pytest.mark.parametrize(
    ("model_type", "special"),
    [
        ("modernbert", {"local_attention": 8, "global_attn_every_n_layers": 2}),
        ("eurobert", {"num_key_value_heads": 1}),
    ],
)
def test_windows_and_shared_keys_are_kept(
    model_type: str, special: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, model_type, FAMILIES[model_type] | special)
    encoder = load_encoder(resolve_encoder(str(make_encoder(tmp_path / "base", model_type))), torch.device("cpu"))
    if model_type == "modernbert":
        assert encoder.base.config.layer_types == ["full_attention", "sliding_attention"]
        assert encoder.base.config.sliding_window < max(LENGTHS) // 2
    seen, results = both_ways(encoder, BottleneckSpec())
    assert same(results)
    assert seen == sum(LENGTHS)


def test_places_in_the_row() -> None:
    packed = Packed.of(MASK)
    assert packed.groups == [(1, 12), (2, 7), (1, 12), (1, 3)]
    values = torch.arange(MASK.numel()).view(MASK.shape)
    assert torch.equal(packed.row(values)[packed.places(READ)], values[READ])


@torch.no_grad()
def test_padding_in_front_is_left_out_too(encoder: Encoder) -> None:
    before = torch.arange(12)[None] >= 12 - torch.tensor(LENGTHS)[:, None]
    inputs = torch.randint(3, VOCABULARY, before.shape, generator=torch.Generator().manual_seed(1)).masked_fill(
        ~before, 0
    )
    read = (torch.tensor([0, 1, 1, 3, 4]), torch.tensor([0, 5, 11, 7, 10]))
    packed = encoder.hidden(inputs, before, read=read)
    encoder.can_pack = False
    torch.testing.assert_close(packed, encoder.hidden(inputs, before, read=read), rtol=1e-4, atol=1e-5)


def test_how_batches_are_made_does_not_follow_the_active_adapter(tiny: Encoder) -> None:
    """They are made in a thread, an update ahead of the setup that they meet."""
    assert tiny.packs
    tiny.adapters.add("swe", BottleneckSpec())
    tiny.adapters.add("por", BottleneckSpec(use_gating=True))
    for name in ("swe", "por"):
        tiny.adapters.activate(name)
        assert not tiny.packs
    tiny.clear()
    assert tiny.packs


@pytest.mark.parametrize("masked", ["none", "seen", "added"])
def test_where_bf16_is_trained_attention_is_in_fp32(masked: str) -> None:
    """The numbers of fp32's, rounded; in evaluation torch's own in bf16."""
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.is_causal = False  # type: ignore[assignment]
    rounded = [torch.randn(2, 4, 6, 8).bfloat16() for _ in range(3)]
    seen = (torch.arange(6) < torch.tensor([6, 4])[:, None])[:, None, None].expand(2, 1, 6, 6)
    mask = {"none": None, "seen": seen, "added": (~seen).bfloat16() * -1e9}[masked]
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        states = [x.to(dtype, copy=True).requires_grad_(True) for x in rounded]
        added = mask.to(dtype) if masked == "added" and mask is not None else mask
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            out, _ = packed.attention(module, *states, added, scaling=0.3)
        gradients = torch.autograd.grad(out.float().sum(), states)
        found.append([out.bfloat16(), *(gradient.bfloat16() for gradient in gradients)])
    assert all(map(torch.equal, *found))


def test_evaluation_in_bf16_is_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.dtype] = []

    def own(module: torch.nn.Module, query: torch.Tensor, *rest: Any, **options: Any) -> tuple[torch.Tensor, None]:
        taken.append(query.dtype)
        return query, None

    monkeypatch.setattr(packed, "sdpa_attention_forward", own)
    for trained in (False, True):
        states = [torch.randn(1, 1, 2, 4).bfloat16().requires_grad_(trained) for _ in range(3)]
        packed.attention(torch.nn.Module(), *states, None)
    assert taken == [torch.bfloat16, torch.float32]
