"""An encoder's frozen matrices in bf16, rounded once for a whole training instead of at every use: the same numbers.

Autocast keeps a rounded copy of what is trained alone. These copies would not see a change of what they were made from,
so they live within one training, and only where nothing of the encoder is trained or changed in it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from madx.encoders.encoder import Encoder


@contextmanager
def rounded_once(encoder: Encoder, trained: Iterable[nn.Parameter], decoder: bool = False) -> Iterator[None]:
    """Within, products in bf16 take copies of the encoder's matrices. `trained`: all that will be, sooner or later.

    `decoder`: that of its masked-LM head too.
    """
    its = {id(parameter) for parameter in encoder.base.parameters()}
    if decoder:
        its.add(id(encoder.lm_head.weight))
    if encoder.precision != "bf16" or encoder.changes or any(id(parameter) in its for parameter in trained):
        yield
        return
    linears = [module for module in encoder.base.modules() if type(module) is nn.Linear]
    try:
        for linear in linears:
            # the instance's own forward: the module stays, with the hooks that adapters hang on
            linear.forward = _of_copies(linear)  # type: ignore[method-assign, assignment]
        if decoder:
            encoder.lm_head.copy = encoder.lm_head.weight.detach().to(torch.bfloat16)
        yield
    finally:
        for linear in linears:
            linear.__dict__.pop("forward", None)
        if decoder:
            encoder.lm_head.copy = None


def _of_copies(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    weight = linear.weight.detach().to(torch.bfloat16)
    return lambda x: F.linear(x, weight, linear.bias)
