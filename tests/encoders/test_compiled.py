"""The compiled pass gives what the plain one gives, forward and backward."""

import shutil
from pathlib import Path

import pytest
import torch
from stages.test_language import with_adapter

from madx.config import InputError
from madx.corpora.masking import Masked
from madx.encoders.compiled import FILL, CompiledPass, check_compiler
from madx.encoders.encoder import Encoder
from madx.stages.masked_lm import masked_lm_loss

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="no C++ compiler here: torch.compile is not tested"
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's compiler about itself


def blocks(masked: int, seed: int) -> Masked:
    """Four blocks of sixteen tokens with so many masked."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(10, 2000, (4, 16), generator=generator)
    chosen = torch.zeros(64, dtype=torch.bool)
    chosen[torch.randperm(64, generator=generator)[:masked]] = True
    chosen = chosen.view(4, 16)
    return Masked(ids.masked_fill(chosen, 4), chosen, ids[chosen])


@needs_compiler
@pytest.mark.parametrize("encoder", ["xlm-roberta", "deberta-v2", "modernbert"], indirect=True)  # ten seconds each
def test_loss_and_gradients_are_the_plain_ones_whatever_is_masked(encoder: Encoder) -> None:
    with_adapter(encoder)
    parameters = list(encoder.adapters.parameters())
    compiled = CompiledPass(encoder)
    for masked in (7, 11, FILL):
        part = blocks(masked, seed=masked)
        plain, ours = masked_lm_loss(encoder, part), masked_lm_loss(encoder, part, compiled=compiled)
        assert torch.allclose(plain, ours, rtol=1e-5)
        for a, b in zip(*(torch.autograd.grad(x, parameters) for x in (plain, ours)), strict=True):
            assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max()))


def test_no_compiler_is_said_before_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler"):
        check_compiler()
