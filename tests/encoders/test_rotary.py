"""The rotation is transformers' own: its values, its gradients, its number types."""

import pytest
import torch
from torch import Tensor
from transformers import AutoModel
from transformers.models.eurobert import modeling_eurobert
from transformers.models.modernbert import modeling_modernbert

from madx.encoders.encoder import Encoder
from madx.encoders.rotary import rotate


def angles(length: int, width: int) -> tuple[Tensor, Tensor]:
    angles = torch.arange(length)[:, None] * torch.logspace(0, -2, width // 2)
    both = torch.cat([angles, angles], dim=-1)[None].double()
    return both.cos(), both.sin()


def plain(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return x * cos[:, None] + modeling_modernbert.rotate_half(x) * sin[:, None]


def test_values_and_gradients() -> None:
    torch.manual_seed(1)
    qkv = torch.randn(2, 5, 3, 4, 8, dtype=torch.float64, requires_grad=True)  # (B, T, 3, H, D), as ModernBERT has it
    q, k, _ = (x.transpose(1, 2) for x in qkv.unbind(2))
    cos, sin = angles(5, 8)
    theirs, ours = (plain(q, cos, sin), plain(k, cos, sin)), rotate(q, k, cos, sin)
    directions = [torch.randn_like(x) for x in theirs]
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(sum((x * d).sum() for x, d in zip(xs, directions, strict=True)), qkv, retain_graph=True)
        for xs in (theirs, ours)
    ]
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_type_stays(dtype: torch.dtype) -> None:
    q = torch.randn(1, 2, 3, 4, dtype=dtype, requires_grad=True)
    cos, sin = (x.float() for x in angles(3, 4))
    turned = rotate(q, q, cos, sin)[0]
    assert turned.dtype == dtype
    assert torch.autograd.grad(turned.sum(), q)[0].dtype == dtype


@pytest.mark.parametrize("encoder", ["modernbert", "eurobert"], indirect=True)
def test_it_is_what_the_encoders_call(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this encoder alone: a model of transformers in the same process keeps its own."""
    modeling = {"modernbert": modeling_modernbert, "eurobert": modeling_eurobert}[encoder.model_type]
    called = []

    def theirs(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, **_: int) -> tuple[Tensor, Tensor]:
        called.append(q.shape)
        return plain(q, cos, sin), plain(k, cos, sin)

    assert modeling.apply_rotary_pos_emb is not rotate
    monkeypatch.setattr(modeling, "apply_rotary_pos_emb", theirs)
    ids = torch.arange(3, 12)[None]
    states = encoder.hidden(ids)
    assert not called
    with torch.no_grad():
        plainly = AutoModel.from_pretrained(encoder.ref.path).eval()(input_ids=ids).last_hidden_state
    assert len(called) == encoder.num_layers
    torch.testing.assert_close(states, plainly, rtol=1e-5, atol=1e-5)
