"""Prefix tuning: attention with rows in front, packed and padded alike; nothing left behind; AdapterHub's folders."""

from pathlib import Path

import pytest
import torch

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.packed import PREFIXES, packed_attention
from madx.formats.anything import load_anything
from madx.methods.prefix import PrefixTuning
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 2, 0, 0]])
MASK = (IDS != 0).long()
METHOD = PrefixTuning(length=3, bottleneck_size=5)


def test_the_formula() -> None:
    torch.manual_seed(0)
    module = torch.nn.Identity()
    module.is_causal = False  # type: ignore[assignment]
    q, k, v = (torch.randn(2, 4, 6, 8) for _ in range(3))
    before, values = torch.randn(4, 3, 8), torch.randn(4, 3, 8)
    mask = torch.rand(2, 1, 6, 6) > 0.3
    PREFIXES[module] = (before, values)
    ours, _ = packed_attention(module, q, k, v, mask)
    keys, all_values = (torch.cat([p.expand(2, 4, 3, 8), x], 2) for p, x in ((before, k), (values, v)))
    scores = (q @ keys.transpose(-1, -2)) / 8**0.5
    scores[..., 3:] = scores[..., 3:].masked_fill(~mask, float("-inf"))
    assert torch.allclose(ours, (scores.softmax(-1) @ all_values).transpose(1, 2), atol=1e-6)


def test_in_every_family_packed_or_padded_saved_and_undone(encoder: Encoder, tmp_path: Path) -> None:
    if encoder.model_type in ("deberta-v2", "rembert"):
        with pytest.raises(InputError, match="has an attention of its own"):
            METHOD.check(encoder)
        return
    METHOD.check(encoder)
    read = MASK.nonzero(as_tuple=True)
    plain = encoder.hidden(IDS, MASK)
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    with METHOD.borrowed(encoder):
        parameters = METHOD.attach(encoder, "task pos", 1, session)
        assert sum(p.numel() for p in parameters.values()) == METHOD.count(encoder)
        for parameter in parameters.values():
            parameter.data.normal_()
        changed = encoder.hidden(IDS, MASK)
        changed.square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())
        assert not torch.allclose(changed[read], plain[read], atol=1e-3)
        assert torch.allclose(encoder.hidden(IDS, MASK, read=read), changed[read], atol=1e-5)
        METHOD.save(tmp_path / "out", encoder, "task pos", save_as="pos")
    assert torch.equal(encoder.hidden(IDS, MASK), plain)
    assert len(PREFIXES) == 0 or not set(PREFIXES) & set(encoder.base.modules())
    with encoder.lent():
        encoder.activate(load_anything(tmp_path / "out", encoder))
        assert torch.allclose(encoder.hidden(IDS, MASK), changed, atol=1e-6)
