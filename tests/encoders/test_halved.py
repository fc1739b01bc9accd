"""Copies of frozen matrices in bf16 give the same numbers, and are none where something of the encoder is trained."""

import torch
from stages.test_language import MASKED, with_adapter
from torch import Tensor, nn

from madx.encoders.encoder import Encoder
from madx.encoders.halved import rounded_once
from madx.stages.masked_lm import masked_lm_loss


def copies(encoder: Encoder) -> int:
    return sum("forward" in module.__dict__ for module in encoder.base.modules() if type(module) is nn.Linear)


def test_the_numbers_are_those_of_rounding_at_every_use(encoder: Encoder) -> None:
    encoder.precision = "bf16"  # whatever this processor says of it
    trained = list(with_adapter(encoder).adapters.parameters())

    def loss_and_gradients() -> list[Tensor]:
        loss = masked_lm_loss(encoder, MASKED)
        return [loss.detach(), *torch.autograd.grad(loss, trained)]

    plain = loss_and_gradients()
    with rounded_once(encoder, trained, decoder=True):
        assert copies(encoder)
        assert encoder.lm_head.copy is not None
        kept = loss_and_gradients()
    assert not copies(encoder)
    assert encoder.lm_head.copy is None
    assert all(map(torch.equal, plain, kept))


def test_what_is_trained_or_changed_is_rounded_as_it_is(tiny: Encoder) -> None:
    """Also where its turn to be trained comes later."""
    tiny.precision = "bf16"
    matrix = next(module.weight for module in tiny.base.modules() if isinstance(module, nn.Linear))
    with rounded_once(tiny, [matrix]):
        assert not copies(tiny)
    tiny.precision = "fp32"
    with rounded_once(tiny, []):
        assert not copies(tiny)
