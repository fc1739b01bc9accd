"""The masked-LM loss in chunks of the vocabulary is the plain one, and so is its gradient."""

import pytest
import torch
import torch.nn.functional as F

from madx.encoders import lm_head
from madx.encoders.lm_head import Decoder, summed_cross_entropy


def problem(bias: bool = True) -> tuple[torch.Tensor, Decoder, torch.Tensor]:
    torch.manual_seed(0)
    states_MD = (3 * torch.randn(9, 16)).requires_grad_()
    decoder = Decoder(torch.randn(50, 16), 5 * torch.randn(50) if bias else None)
    return states_MD, decoder, torch.randint(0, 50, (9,))


def plain(states_MD: torch.Tensor, decoder: Decoder, targets_M: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(states_MD, *decoder), targets_M, reduction="sum")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 50, 4096])
def test_loss_and_gradient_are_the_plain_ones(bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lm_head.CHUNK, "cpu", chunk)
    states_MD, decoder, targets_M = problem(bias)
    wanted, ours = plain(states_MD, decoder, targets_M), summed_cross_entropy(states_MD, decoder, targets_M)
    assert torch.allclose(ours, wanted, rtol=1e-6)
    (wanted_MD,) = torch.autograd.grad(wanted / 3, states_MD)
    (ours_MD,) = torch.autograd.grad(ours / 3, states_MD)
    assert torch.allclose(ours_MD, wanted_MD, rtol=1e-5, atol=1e-6)


def test_logits_far_apart_do_not_overflow() -> None:
    states_MD, decoder, targets_M = problem()
    far = Decoder(100 * decoder.weight_RD, decoder.bias_R)
    assert torch.allclose(summed_cross_entropy(states_MD, far, targets_M), plain(states_MD, far, targets_M), rtol=1e-6)


def test_mixed_precision_is_as_close_as_the_plain_way_is() -> None:
    states_MD, decoder, targets_M = problem()
    exact = plain(states_MD, decoder, targets_M)
    with torch.autocast("cpu", torch.bfloat16):
        ours = summed_cross_entropy(states_MD, decoder, targets_M)
        (gradient_MD,) = torch.autograd.grad(ours, states_MD)
    assert ours.dtype == gradient_MD.dtype == torch.float32
    assert torch.allclose(ours, exact, rtol=1e-2)
    (wanted_MD,) = torch.autograd.grad(exact, states_MD)
    assert torch.allclose(gradient_MD, wanted_MD, atol=0.02 * float(wanted_MD.abs().max()))


def test_a_decoder_that_is_trained_gets_its_gradient() -> None:
    states_MD, decoder, targets_M = problem()
    trained = Decoder(decoder.weight_RD.clone().requires_grad_(), decoder.bias_R)
    summed_cross_entropy(states_MD, trained, targets_M).backward()
    assert trained.weight_RD.grad is not None
    assert trained.weight_RD.grad.abs().sum() > 0


def test_in_float64_nothing_is_rounded_to_fp32() -> None:
    states_MD, decoder, targets_M = problem()
    states_MD, decoder = states_MD.detach().double().requires_grad_(), Decoder(*(x.double() for x in decoder))
    loss = summed_cross_entropy(states_MD, decoder, targets_M)
    torch.testing.assert_close(loss, plain(states_MD, decoder, targets_M), rtol=1e-13, atol=1e-13)
    assert torch.autograd.gradcheck(lambda x: summed_cross_entropy(x, decoder, targets_M), states_MD)


def test_an_inverse_stands_only_in_front_of_a_tied_decoder() -> None:
    states_MD, decoder, _ = problem()
    for tied in (True, False):
        head = lm_head.LmHead([torch.nn.Tanh()], torch.nn.Parameter(decoder.weight_RD), None, tied=tied)
        found = head.states(states_MD, unembed=lambda x: x + 1)
        assert torch.equal(found, torch.tanh(states_MD) + tied)
